"""Whatever is sent: an answer in the contract's words, and never another error."""

import contextlib
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import ValidationFailed
from app.query.filters import OPERATORS, conditions
from app.query.functions import FUNCTIONS
from app.query.printing import hogql, schema
from app.query.select import select_list
from tests.factories import utc
from tests.sources.answers import CASES

WORDS = [
    *FUNCTIONS, *"()[]{},;.*+-/%=<>!?:|&^~@#$'\"`\\", "::", "||", "??", "->", "=~", "--", "/*", "*/", "'a'", "1", "0",
    "1.5", "1e", ".1.", "'2026-01-01'", "1e999", "9223372036854775808", "event", "properties", "properties.x", "person",
    "uuid", "timestamp", "e.event", "$session_id", "nothing", "select", "from", "events", "where", "with", "union",
    "all", "join", "as", "x", "and", "or", "not", "in", "like", "between", "is", "null", "true", "case", "when", "then",
    "else", "end", "cast", "interval", "day", "distinct", "over", "array", "tuple", "lambda", "values", "limit", "\n",
    "é", "🦔",
]  # fmt: skip
QUERIES = [f"SELECT {expression} AS x FROM events" for cases in CASES.values() for expression in cases]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.sampled_from(WORDS),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=5,
)
FILTERS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["event", "person", "hogql"]) | JSON,
            "key": st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join) | JSON,
            "operator": st.sampled_from(list(OPERATORS)) | JSON,
            "value": JSON,
        },
    ),
    max_size=3,
)


@settings(max_examples=200, deadline=None)
@given(
    words=st.lists(st.sampled_from(WORDS), max_size=20), rest=st.sampled_from(["", " FROM events", " FROM events e"])
)
def test_any_words_are_a_query_or_refused(words: list[str], rest: str) -> None:
    for text in (f"SELECT {' '.join(words)}{rest}", " ".join(words)):
        with contextlib.suppress(ValidationFailed):
            schema(select_list(text))


@settings(max_examples=200, deadline=None)
@given(
    query=st.sampled_from(QUERIES),
    edits=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), st.sampled_from(WORDS)), max_size=4),
)
def test_a_query_with_mistakes_is_a_query_or_refused(query: str, edits: list[tuple[int, int, str]]) -> None:
    tokens = re.findall(r"\w+|'[^']*'|\s+|.", query, re.DOTALL)
    for place, gone, word in edits:
        tokens[place : place + gone] = [word] * (gone != 1)
    with contextlib.suppress(ValidationFailed):
        normal = hogql(select_list("".join(tokens)))
        assert hogql(select_list(normal)) == normal


@settings(max_examples=200, deadline=None)
@given(filters=FILTERS | JSON)
def test_any_document_is_filters_or_refused(filters: Any) -> None:
    with contextlib.suppress(ValidationFailed):
        conditions(filters, utc(2026, 1, 1))
