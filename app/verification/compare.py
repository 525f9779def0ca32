"""Holding a run's objects against its records, and both against the event store."""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from app.destinations.base import Destination, Stored, Target
from app.errors import RunError, Unavailable, ValidationFailed
from app.fingerprint import Fingerprint, text_hash
from app.formats import FORMATS
from app.formats.base import Format, Unreadable
from app.models import Export, Run, RunFile, RunStatus
from app.pipeline.opening import open_destination, query_of
from app.runs.files import RunFileRepository
from app.runtime import Runtime
from app.sources.base import EventQuery
from app.sources.columns import IDENTITY
from app.verification.reasons import why_rows_differ


@dataclass(frozen=True, slots=True)
class Subject:
    """A run, its export, and what it has left. See :class:`app.pipeline.opening.Subject`."""

    run_id: UUID
    status: str
    export_id: UUID
    project_id: int
    model: str
    destination_type: str
    destination_config: bytes
    start: datetime | None
    end: datetime
    select_by: str
    filters: Sequence[Any] | None
    hogql_query: str | None
    rows: int
    bytes: int
    files: Sequence[RunFile]
    left_whole: bool
    """It was cancelled when it could not go back any more: everything is there, and on record in its files alone."""

    @classmethod
    def of(cls, run: Run, export: Export, files: Sequence[RunFile]) -> Self:
        left_whole = run.status == RunStatus.CANCELLED and run.records_completed is None and bool(files)
        return cls(
            run_id=run.id,
            status=run.status,
            export_id=export.id,
            project_id=run.project_id,
            model=export.model,
            destination_type=export.destination_type,
            destination_config=export.destination_config,
            start=run.data_interval_start,
            end=run.data_interval_end,
            select_by=run.select_by,
            filters=export.filters,
            hogql_query=export.hogql_query,
            rows=sum(file.rows or 0 for file in files) if left_whole else run.records_completed or 0,
            bytes=_size(files) if left_whole else run.bytes_exported or 0,
            files=files,
            left_whole=left_whole,
        )


def _size(files: Sequence[RunFile]) -> int:
    return sum(file.bytes or 0 for file in files if not file.is_manifest)


@dataclass(slots=True)
class Held:
    """What lies at the destination."""

    content: Fingerprint = field(default_factory=Fingerprint)
    bytes: int = 0
    files: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """``differences`` are sentences for people; none means that all is as it should be."""

    identity: str | None
    """The column by which rows were compared; None: there is none, and they were counted only."""
    source: Fingerprint
    destination: Held
    differences: Sequence[str]


async def load(runtime: Runtime, run_id: UUID) -> Subject | None:
    """The run, whosoever it is; None: there is none."""
    async with runtime.sessions() as session:
        run = await session.get(Run, run_id)
        if run is None:
            return None
        export = await session.get_one(Export, run.export_id)
        return Subject.of(run, export, await RunFileRepository(session).of_run(run_id))


async def compare(runtime: Runtime, subject: Subject) -> Comparison:
    """Read the objects back, whole, one after another, by way of a temporary file.

    :raises ValidationFailed: for a run of which there is nothing to compare, or that cannot be read back as things are.
    :raises Unavailable: when the event store or the destination cannot be read just now.
    """
    if subject.status != RunStatus.COMPLETED and not subject.left_whole:
        raise ValidationFailed(f"Only a completed run can be verified; this one is '{subject.status}'.")
    if any(file.replaced_at is not None for file in subject.files):
        raise ValidationFailed(
            "A later run of the same interval has replaced what this one wrote. Verify that run instead."
        )
    try:
        destination = await open_destination(runtime, subject)
        _check_place(destination, subject)
        query = query_of(subject, destination)
        identity = identity_of(query)
        source = await _read_source(runtime, query, identity)
        async with destination.stored() as stored:
            held, differences = await _read_back(stored, subject, identity)
    except RunError as error:
        if error.retryable:
            raise Unavailable(f"The run cannot be verified just now. {error}") from None
        raise ValidationFailed(f"The run cannot be verified. {error}") from None
    return Comparison(identity, source, held, [*differences, *_judge(source, held, subject)])


def identity_of(query: EventQuery) -> str | None:
    """See :attr:`Comparison.identity`. What a query of an export's own selects need not tell its rows apart."""
    return IDENTITY[query.model] if query.fields is None else None


async def _read_source(runtime: Runtime, query: EventQuery, identity: str | None) -> Fingerprint:
    if identity is None:
        return Fingerprint(await runtime.source.count(query))
    return await runtime.source.fingerprint(query)


def _check_place(destination: Destination, subject: Subject) -> None:
    if not destination.formats:
        raise ValidationFailed(f"{destination.name} destinations store no files, so there is nothing to verify.")
    if subject.rows and not subject.files:
        raise ValidationFailed("This run is of before objects were put on record. Retry it, and verify the new run.")
    elsewhere = {file.location for file in subject.files} - {destination.location}
    if elsewhere:
        raise ValidationFailed(
            f"The export writes to {destination.location} by now, and this run wrote to {min(elsewhere)}."
        )


async def _read_back(stored: Stored, subject: Subject, identity: str | None) -> tuple[Held, list[str]]:
    held, differences = Held(), []
    listed = [file.key for file in subject.files if not file.is_manifest]
    with tempfile.TemporaryDirectory(prefix="batch-exports-verify-") as directory:
        path = Path(directory) / "object"
        for file in subject.files:
            fetched = await stored.fetch(file.key, path)
            if fetched is None:
                differences.append(f"'{file.key}' is not there. Somebody else has deleted it; retry the run.")
                continue
            if (fetched.bytes, fetched.sha256) != (file.bytes, file.sha256):
                differences.append(
                    f"'{file.key}' is not what the run wrote: {fetched.bytes} bytes, {file.bytes} on record. "
                    "Somebody else has written it; retry the run."
                )
            if file.is_manifest:
                differences += await asyncio.to_thread(_check_manifest, path, file.key, listed)
                continue
            held.files += 1
            held.bytes += fetched.bytes
            try:
                content = await asyncio.to_thread(_fingerprint, path, file.key, identity)
            except Unreadable as error:
                differences.append(f"'{file.key}' cannot be read ({error}); retry the run.")
                continue
            held.content += content
            if content.rows != file.rows:
                differences.append(f"'{file.key}' holds {content.rows} rows, {file.rows} are on record.")
    return held, differences + await _look_beside(stored, subject)


async def _look_beside(stored: Stored, subject: Subject) -> list[str]:
    """What else lies there doubles rows for everybody who goes by a listing."""
    data = [file.key for file in subject.files if not file.is_manifest]
    try:
        fmt, compression = _format_of(data[0])
    except (IndexError, Unreadable):
        return []  # nobody knows what their names would be
    target = Target(
        table=subject.model,
        start=subject.start,
        end=subject.end,
        run_id=subject.run_id,
        epoch=0,
        extension=f"{fmt.extension}.{fmt.suffixes[compression]}" if compression is not None else fmt.extension,
    )
    keys = await stored.keys(target) or ()
    return [
        f"'{key}' lies there as well, and the run did not write it. Delete it: whoever reads by listing reads it too."
        for key in sorted(set(keys) - {file.key for file in subject.files})
    ]


def _judge(source: Fingerprint, held: Held, subject: Subject) -> list[str]:
    differences = []
    if (held.content.rows, held.bytes) != (subject.rows, subject.bytes):
        differences.append(
            f"The destination holds {held.content.rows} rows in {held.bytes} bytes; the run says "
            f"{subject.rows} and {subject.bytes}."
        )
    if source != held.content:
        counts = (
            f"{source.rows} in the event store, {held.content.rows} at the destination"
            if source.rows != held.content.rows
            else f"{source.rows} of each, but not the same ones"
        )
        reason = why_rows_differ(subject.model, subject.select_by)
        differences.append(f"The rows differ: {counts}. {reason}")
    return differences


def _fingerprint(path: Path, key: str, identity: str | None) -> Fingerprint:
    """:raises Unreadable: for an object that is damaged, or that this version does not know how to read."""
    fmt, compression = _format_of(key)
    found = Fingerprint()
    for values in fmt.values(path, compression, identity):
        if identity is None:
            found += Fingerprint(len(values))
        else:
            texts = [value for value in values if value is not None]
            found += Fingerprint(len(texts), text_hash(texts))
    return found


def _format_of(key: str) -> tuple[Format, str | None]:
    """By the key's end, which says how the object was written; the export's config may have changed since."""
    for fmt in FORMATS.values():
        if key.endswith(f".{fmt.extension}"):
            return fmt, None
        for compression, suffix in fmt.suffixes.items():
            if key.endswith(f".{fmt.extension}.{suffix}"):
                return fmt, compression
    raise Unreadable("unknown format")


def _check_manifest(path: Path, key: str, files: Sequence[str]) -> list[str]:
    try:
        listed = json.loads(path.read_bytes())["files"]
    except (ValueError, KeyError, TypeError):
        return [f"'{key}' is no manifest; retry the run."]
    return [] if listed == list(files) else [f"'{key}' lists other files than the run wrote; retry the run."]
