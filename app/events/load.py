"""Loading a file of events in bulk: parsed in a thread while the batch before is being stored, memory flat."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

from app.errors import SetupError
from app.events.files import STDIN, LineFile
from app.events.parse import MAX_LINE_BYTES, Rejected, parse_line
from app.events.rows import EventRow
from app.events.store import EventWriter

BATCH_LINES = 10_000
BATCH_BYTES = 16 * 1024 * 1024
"""A batch ends at whichever is reached first. Two are in memory at a time: one being parsed, one being stored."""


@dataclass(slots=True)
class Loaded:
    """What became of every line. ``duplicates`` are events the project had already."""

    lines: int = 0
    stored: int = 0
    duplicates: int = 0
    sanitised: int = 0
    rejected: int = 0


@dataclass(slots=True)
class _Batch:
    """``rows`` and ``lines`` match one to one; rejections come with the line itself."""

    rows: list[EventRow] = field(default_factory=list)
    lines: list[tuple[int, bytes]] = field(default_factory=list)
    rejections: list[tuple[int, bytes, str]] = field(default_factory=list)
    sanitised: set[int] = field(default_factory=set)
    broken: SetupError | None = None
    """The file could not be read beyond this batch."""


class Rejections:
    """The file of lines that were not stored, each with its number and the reason; made when the first one comes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None
        # What an earlier load of the same file rejected may be mended by now; the lines are still in that file.
        path.unlink(missing_ok=True)

    def add(self, number: int, line: bytes, reason: str) -> None:
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8")
        # Lines may be anything, bytes that are no text too: those come out as replacement characters.
        record = {"line": number, "reason": reason, "text": line.decode(errors="replace")}
        self._file.write(json.dumps(record, ensure_ascii=False) + "\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def rejections_path(path: str) -> Path:
    """Beside the file; in the working directory for standard input."""
    return Path("stdin.rejected.jsonl") if path == STDIN else Path(f"{path}.rejected.jsonl")


async def load_lines(
    source: LineFile,
    writer: EventWriter,
    project_id: int,
    now: datetime,
    rejections: Rejections,
    progress: Callable[[Loaded], Any] = lambda loaded: None,
) -> Loaded:
    """Store every event of ``source``. ``progress`` is called after each batch.

    :raises app.errors.SetupError: when the file ends in the middle; what came before is stored.
    """
    loaded = Loaded()
    lines = ((number, line) for number, line in source.lines() if line.strip())
    try:
        batch = await asyncio.to_thread(_next_batch, lines, now)
        while batch is not None:
            # A thread rather than a task of its own: an error of either side must not leave the other one running.
            parsing = asyncio.create_task(asyncio.to_thread(_next_batch, lines, now))
            try:
                await _store(batch, writer, project_id, loaded, rejections)
            finally:
                await asyncio.wait([parsing])
            progress(loaded)
            if batch.broken is not None:
                raise batch.broken
            batch = parsing.result()
    finally:
        rejections.close()
    return loaded


async def _store(batch: _Batch, writer: EventWriter, project_id: int, loaded: Loaded, rejections: Rejections) -> None:
    stored = await writer.write(project_id, batch.rows)
    refused = [(*batch.lines[one.index], one.reason) for one in stored.refused]
    for number, line, reason in sorted([*batch.rejections, *refused]):
        rejections.add(number, line, reason)
    loaded.lines += len(batch.rows) + len(batch.rejections)
    loaded.stored += stored.new
    loaded.duplicates += len(batch.rows) - stored.new - len(refused)
    loaded.sanitised += len(batch.sanitised - {number for number, _, _ in refused})
    loaded.rejected += len(batch.rejections) + len(refused)


def _next_batch(lines: Iterator[tuple[int, bytes]], now: datetime) -> _Batch | None:
    batch, size = _Batch(), 0
    try:
        for number, line in islice(lines, BATCH_LINES):
            _sort_in(batch, number, line, now)
            size += len(line)
            if size >= BATCH_BYTES:
                break
    except SetupError as error:
        batch.broken = error
    return batch if batch.rows or batch.rejections or batch.broken else None


def _sort_in(batch: _Batch, number: int, line: bytes, now: datetime) -> None:
    try:
        if len(line) > MAX_LINE_BYTES:
            raise Rejected(f"longer than {MAX_LINE_BYTES} bytes")
        parsed = parse_line(line, now)
    except Rejected as rejected:
        batch.rejections.append((number, line[:MAX_LINE_BYTES], str(rejected)))
        return
    batch.rows.append(parsed.row)
    batch.lines.append((number, line))
    if parsed.sanitised:
        batch.sanitised.add(number)
