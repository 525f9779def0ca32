"""File formats. A new one is a file here and a line below."""

from collections.abc import Mapping

from app.formats.base import Format
from app.formats.jsonl import JSONLines
from app.formats.parquet import Parquet

FORMATS: Mapping[str, Format] = {
    "Parquet": Parquet(),
    "JSONLines": JSONLines(),
}
"""By the name the API gives it."""
