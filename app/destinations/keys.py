"""Object keys: pure functions of the window and the config, so that the same window always has the same keys.

The rules are the contract's section 10.1. Times are those of the window's end, in UTC. Where keys are partitioned by
the rows (docs/files.md), a row's own values are variables too.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from string import Formatter
from typing import Final, Self

from app.destinations.hive import FOLDER_NAME, folder_name
from app.streams import Partition

MANIFEST = "_manifest.json"
START_OF_TIME = "START"
"""What ``{data_interval_start}`` is in a prefix when the window has no start."""

WINDOW_VARIABLES: Final = (
    *("second", "minute", "hour", "day", "month", "year"),
    *("data_interval_start", "data_interval_end", "table"),
)
ROW_VARIABLES: Final = ("event", "date")
"""What a prefix may say of the rows."""


def render_prefix(template: str, table: str, start: datetime | None, end: datetime) -> str:
    """The prefix with its variables filled in. A template with anything else in braces is taken literally."""
    values = _window_values(table, start, end)
    parts = _parts(template, WINDOW_VARIABLES)
    return template if parts is None else "".join(text + values.get(name, "") for text, name in parts)


def row_variables(template: str) -> Sequence[str]:
    """Those of :data:`ROW_VARIABLES` that a prefix names, in order; none in one that is taken literally."""
    parts = _parts(template, (*WINDOW_VARIABLES, *ROW_VARIABLES)) or ()
    return [name for _, name in parts if name in ROW_VARIABLES]


def _window_values(table: str, start: datetime | None, end: datetime) -> dict[str, str]:
    end = end.astimezone(UTC)
    return {
        "second": f"{end:%S}",
        "minute": f"{end:%M}",
        "hour": f"{end:%H}",
        "day": f"{end:%d}",
        "month": f"{end:%m}",
        "year": f"{end.year:04}",
        "data_interval_start": _iso(start) if start is not None else START_OF_TIME,
        "data_interval_end": _iso(end),
        "table": table,
    }


def _parts(template: str, known: Collection[str]) -> list[tuple[str, str]] | None:
    """Texts, each with the variable behind it, or "". None: something else is in braces."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        return None
    # Bare names only: a format spec could ask for gigabytes of padding, a dot for what is behind a value.
    if any(name is not None and (name not in known or spec or conversion) for _, name, spec, conversion in parts):
        return None
    return [(text, name or "") for text, name, _, _ in parts]


@dataclass(frozen=True)
class Names:
    """What the objects of one window are called.

    ``texts`` is the rendered prefix or, where keys are partitioned, what stands before, between and behind the
    ``variables`` of rows.
    """

    texts: Sequence[str]
    variables: Sequence[str]
    start: datetime | None
    end: datetime
    extension: str
    numbered: bool

    @classmethod
    def of(
        cls,
        template: str,
        table: str,
        start: datetime | None,
        end: datetime,
        extension: str,
        *,
        numbered: bool,
        partitioned: bool,
    ) -> Self:
        variables = row_variables(template) if partitioned else ()
        if not variables:
            return cls([render_prefix(template, table, start, end)], (), start, end, extension, numbered)
        values = _window_values(table, start, end)
        texts = [""]
        for text, name in _parts(template, (*WINDOW_VARIABLES, *ROW_VARIABLES)) or ():
            texts[-1] += text + values.get(name, "")
            texts += [""] if name in ROW_VARIABLES else []
        texts = [re.sub("/+", "/", text) for text in texts]
        texts[0], texts[-1] = texts[0].lstrip("/"), texts[-1].rstrip("/")
        return cls(texts, variables, start, end, extension, numbered)

    def file(self, number: int = 0, partition: Partition = ()) -> str:
        """The key of a file; ``number`` counts the files of its partition, from 0."""
        values = dict(partition)
        return self._file([folder_name(values[name]) for name in self.variables], number)

    @property
    def example(self) -> str:
        """The key of a first file, with the variables of rows as they are written in the prefix."""
        return self._file([f"{{{name}}}" for name in self.variables], 0)

    @property
    def folder(self) -> str:
        """The last that all files have in common; empty where that is the bucket."""
        return self.texts[0].rpartition("/")[0] if self.variables else self.texts[0]

    @property
    def manifest(self) -> str:
        return manifest_key(self.folder, self.start, self.end)

    @property
    def beginning(self) -> str:
        """What all keys of the window begin with. Where keys are partitioned, so do those of other windows."""
        return join(self.folder, "") if self.variables else stem(self.folder, self.start, self.end)

    def is_own(self, key: str) -> bool:
        """Whether an object of the window may have that key, however many there are."""
        if not self.variables:
            return names(self.texts[0], self.start, self.end, self.extension).fullmatch(key) is not None
        return key == self.manifest or self._pattern.fullmatch(key) is not None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        folder = FOLDER_NAME.join(re.escape(text) for text in self.texts)
        return re.compile(rf"{folder}/{re.escape(_window(self.start, self.end))}(?:-\d+)?\.{re.escape(self.extension)}")

    def _file(self, values: Sequence[str], number: int) -> str:
        folder = "".join(text + value for text, value in zip(self.texts, [*values, ""], strict=True))
        return object_key(folder, self.start, self.end, self.extension, number if self.numbered else None)


def object_key(prefix: str, start: datetime | None, end: datetime, extension: str, number: int | None = None) -> str:
    """``<prefix>/<start>-<end>[-<number>].<extension>``; ``prefix`` is rendered already, ``extension`` has no dot."""
    numbered = "" if number is None else f"-{number}"
    return f"{stem(prefix, start, end)}{numbered}.{extension}"


def manifest_key(prefix: str, start: datetime | None, end: datetime) -> str:
    return f"{stem(prefix, start, end)}{MANIFEST}"


def stem(prefix: str, start: datetime | None, end: datetime) -> str:
    """What the keys of all objects of a window begin with, and those of no other window."""
    return join(prefix, _window(start, end))


def names(prefix: str, start: datetime | None, end: datetime, extension: str) -> re.Pattern[str]:
    """Which keys a window's objects may have, however many there are: files in this format, and the manifest."""
    beginning = re.escape(stem(prefix, start, end))
    return re.compile(rf"{beginning}(?:(?:-\d+)?\.{re.escape(extension)}|{re.escape(MANIFEST)})")


def _window(start: datetime | None, end: datetime) -> str:
    return f"{_iso(start) if start is not None else None}-{_iso(end)}"


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def join(prefix: str, name: str) -> str:
    """No slash in front, and never two in a row: many tools cannot show the nameless folder between them."""
    folder = re.sub("/+", "/", prefix).strip("/")
    return f"{folder}/{name}" if folder else name
