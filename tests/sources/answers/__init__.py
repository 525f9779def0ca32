"""Expressions of HogQL and what they come to for one event, by what they are about."""

from typing import Any

from tests.sources.answers import conditions, times, values
from tests.sources.answers.event import MOMENT, PROPERTIES

__all__ = ["CASES", "MOMENT", "PROPERTIES"]

CASES: dict[str, dict[str, Any]] = {**conditions.CASES, **values.CASES, **times.CASES}
