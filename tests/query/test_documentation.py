"""What there is, is told."""

import re
from pathlib import Path

from app.query.columns import COLUMNS
from app.query.filters import OPERATORS
from app.query.formats import PARTS
from app.query.functions import ALIASES, FUNCTIONS, UNITS

PAGE = Path(__file__).parents[2] / "docs" / "hogql.md"


def test_every_function_operator_and_field_is_documented() -> None:
    named = set(re.findall(r"`([^`]+)`", PAGE.read_text()))
    words = named | {found[1] for one in named if (found := re.match(r"([A-Za-z0-9]+)\(", one))}
    for table in (FUNCTIONS, ALIASES, COLUMNS, OPERATORS, UNITS, PARTS):
        assert set(table) - words == set()


def test_no_function_is_documented_that_there_is_not() -> None:
    called = {found[1] for one in re.findall(r"`([^`]+)`", PAGE.read_text()) if (found := re.match(r"(\w+)\(", one))}
    assert called - {*FUNCTIONS, *ALIASES, "now", "today", "count", "sum", "CAST"} == set()
