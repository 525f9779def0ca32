"""Expressions of HogQL, executed: every function against known answers."""

import pytest

from app.query.functions import FUNCTIONS
from app.sources.base import Source
from tests.factories import utc
from tests.sources.answers import CASES, MOMENT, PROPERTIES
from tests.sources.asking import ask
from tests.sources.store import Connection, add


@pytest.fixture
async def one_event(store: Connection) -> None:
    await add(
        store,
        MOMENT,
        uuid="00000000-0000-0000-0000-00000000000a",
        person_id="00000000-0000-0000-0000-00000000000b",
        properties=PROPERTIES,
        person_properties='{"email": "a@example.com"}',
        created_at=utc(2026, 3, 2),
    )


@pytest.mark.parametrize("group", CASES)
@pytest.mark.usefixtures("one_event")
async def test_expressions_come_to_known_answers(source: Source, group: str) -> None:
    cases = CASES[group]
    found = dict(zip(cases, await ask(source, *cases), strict=True))
    assert {text: (value, type(value)) for text, value in found.items()} == {
        text: (value, type(value)) for text, value in cases.items()
    }


def test_every_function_has_a_case() -> None:
    operators = {
        "plus": "+", "minus": "-", "multiply": "*", "divide": "/", "modulo": "%", "equals": "=", "notEquals": "!=",
        "less": "<", "lessOrEquals": "<=", "greater": ">", "greaterOrEquals": ">=", "notIn": "not in",
        "notLike": "not like", "notILike": "not ilike",
    }  # fmt: skip
    texts = " ".join(text for cases in CASES.values() for text in cases)
    assert [
        name for name in FUNCTIONS if f"{name}(" not in texts and operators.get(name, f" {name} ") not in texts
    ] == []
