"""Filters of exports, through the API (the contract's section 9.6): what is kept, and what is refused."""

from typing import Any

import httpx
import pytest

from app.query.dialect import MAX_LENGTH
from app.query.filters import MOST_FILTERS, OPERATORS
from tests.http.callers import created, invalid, no_op, refused

FIREFOX = {"key": "$browser", "operator": "exact", "type": "event", "value": ["Firefox"]}
LISTED = ", ".join(map(repr, OPERATORS))


async def test_filters_are_kept_as_they_were_sent(api: httpx.AsyncClient) -> None:
    filters = [
        FIREFOX,
        {"key": "email", "type": "person", "value": "a", "label": "ignored", "operator": "icontains"},
        {"key": "plan", "type": "person", "value": True},
        {"key": "signed_up", "type": "person", "value": "-7d", "operator": "is_date_after"},
        {"key": "properties.price > 10 and event != 'x'", "type": "hogql", "value": None},
    ]
    export = await created(api, no_op(filters=filters))
    assert export["filters"] == filters
    url = f"/batch_exports/{export['id']}/"
    assert (await api.patch(url, json={"name": "New"})).json()["filters"] == filters
    assert (await api.patch(url, json={"filters": [FIREFOX]})).json()["filters"] == [FIREFOX]
    assert (await api.patch(url, json={"filters": None})).json()["filters"] is None


REFUSED: list[tuple[Any, str]] = [
    ({**FIREFOX, "operator": "resembles"}, f"Each filter must have an 'operator' of one of: {LISTED}"),
    ({**FIREFOX, "operator": ["exact"]}, f"Each filter must have an 'operator' of one of: {LISTED}"),
    ({**FIREFOX, "key": None}, "Each filter must have a 'key'"),
    ({**FIREFOX, "key": " "}, "Each filter must have a 'key'"),
    ({**FIREFOX, "key": 5}, "Each filter must have a 'key'"),
    ({**FIREFOX, "value": []}, "The operator 'exact' needs at least one value"),
    (
        {**FIREFOX, "value": None},
        "The operator 'exact' needs text, a number, or true or false, or a list of these, as its 'value'",
    ),
    (
        {**FIREFOX, "operator": "icontains", "value": [{}]},
        "The operator 'icontains' needs text, a number, or true or false, or a list of these, as its 'value'",
    ),
    ({**FIREFOX, "operator": "gt", "value": "many"}, "The operator 'gt' needs a number"),
    ({**FIREFOX, "operator": "lte", "value": True}, "The operator 'lte' needs a number"),
    ({**FIREFOX, "operator": "min", "value": "1e999"}, "1e999 is too large for a number"),
    (
        {**FIREFOX, "operator": "between", "value": [1]},
        "The operator 'between' needs a list of two numbers, the least and the greatest",
    ),
    (
        {**FIREFOX, "operator": "regex", "value": "("},
        "The regular expression '(' cannot be used: a '(' is not closed",
    ),
    *(
        (
            {**FIREFOX, "operator": "is_date_before", "value": value},
            "The operator 'is_date_before' needs a date, as 2026-01-31, 2026-01-31T12:00:00+02:00 or -7d",
        )
        for value in ("soon", "2026-02-30", "7d", "-7x", "-99999y", "-99999q", 5, None, ["2026-01-01", "2026-01-02"])
    ),
    ({"type": "hogql", "key": "event ="}, "Failed to parse the HogQL of a filter: event ="),
    ({"type": "hogql", "key": "event; DROP TABLE x"}, "Failed to parse the HogQL of a filter: event; DROP TABLE x"),
    ({"type": "hogql", "key": "event, event"}, "Failed to parse the HogQL of a filter: event, event"),
    ({"type": "hogql", "key": "true FROM events"}, "Failed to parse the HogQL of a filter: true FROM events"),
    ({"type": "hogql", "key": "plan = 1"}, "Invalid HogQL in a filter: Unable to resolve field: plan"),
    ({"type": "hogql", "key": "timestamp"}, "Invalid HogQL in a filter: DateTime cannot be used as Bool"),
    (
        {"type": "hogql", "key": "event in (select 1)"},
        "Invalid HogQL in a filter: Subqueries in SELECT expressions are not supported",
    ),
    (
        {"type": "hogql", "key": "$session_id = 'x'"},
        "Invalid HogQL in a filter: Batch exports cannot read these fields: $session_id. Supported fields are: "
        "created_at, distinct_id, elements_chain, event, person_id, person_properties, properties, team_id, timestamp, "
        "uuid.",
    ),
]


@pytest.mark.parametrize(("wrong", "detail"), REFUSED, ids=[str(wrong) for wrong, _ in REFUSED])
async def test_filters_that_mean_nothing_are_refused(api: httpx.AsyncClient, wrong: Any, detail: str) -> None:
    answer = await api.post("/batch_exports/", json=no_op(filters=[FIREFOX, wrong]))
    assert refused(answer) == (400, invalid(detail, "filters"))


async def test_filters_are_limited_in_number_and_length(api: httpx.AsyncClient) -> None:
    await created(api, no_op(filters=[FIREFOX] * MOST_FILTERS))
    answer = await api.post("/batch_exports/", json=no_op(filters=[FIREFOX] * (MOST_FILTERS + 1)))
    assert refused(answer) == (400, invalid(f"There can be {MOST_FILTERS} filters at most", "filters"))
    long = {"type": "hogql", "key": f"event = '{'x' * (MAX_LENGTH // 2)}'"}
    await created(api, no_op(filters=[long]))
    answer = await api.post("/batch_exports/", json=no_op(filters=[long, long]))
    detail = f"The HogQL of all filters together can have {MAX_LENGTH} characters at most"
    assert refused(answer) == (400, invalid(detail, "filters"))
