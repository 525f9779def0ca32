"""The formats of ``formatDateTime``: which parts they may be made of."""

import re
from typing import Final

from app.query.errors import NotUnderstood

PARTS: Final = ("%Y", "%y", "%m", "%d", "%H", "%i", "%S", "%f", "%F", "%T", "%R", "%j", "%G", "%V", "%u", "%%")
"""Year, year of two digits, month, day, hour, minute, second, microseconds, date, time, hour and minute, day of the
year, ISO year, ISO week, ISO weekday, a percent sign."""


def check_format(text: str) -> str:
    """:raises NotUnderstood: for a part that there is not."""
    for part in re.findall("%.?", text, re.DOTALL):
        if part not in PARTS:
            raise NotUnderstood(f"'{part}' is no part of a format; there are: {' '.join(PARTS)}")
    return text
