"""Object keys: pure functions of the window and the config, so that the same window always has the same keys.

The rules are the contract's section 10.1. Times are those of the window's end, in UTC.
"""

import re
from datetime import UTC, datetime
from string import Formatter

MANIFEST = "_manifest.json"
START_OF_TIME = "START"
"""What ``{data_interval_start}`` is in a prefix when the window has no start."""


def render_prefix(template: str, table: str, start: datetime | None, end: datetime) -> str:
    """The prefix with its variables filled in. A template with anything else in braces is taken literally."""
    end = end.astimezone(UTC)
    values = {
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
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        return template
    rendered = []
    for text, name, spec, conversion in parts:
        rendered.append(text)
        if name is None:
            continue
        # Bare names only: a format spec could ask for gigabytes of padding, a dot for what is behind a value.
        if name not in values or spec or conversion:
            return template
        rendered.append(values[name])
    return "".join(rendered)


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
