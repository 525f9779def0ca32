"""Models, intervals, flags and the fields that belong to a model (the contract's sections 4.4, 5, 9 and 13)."""

from typing import Any

import httpx
import pytest

from app.runtime import Runtime
from tests.exports.linking import set_flag
from tests.http.callers import Tenant, created, error, invalid, no_op, refused

FILTER = {"key": "$browser", "operator": "exact", "type": "event", "value": ["Firefox"]}
WINDOW = (
    "'data_interval_start' and 'data_interval_end' are run attributes and not 'filters'. Trigger a backfill if you "
    "wish to manually control which periods to batch export."
)
TYPE = "Each filter must have a 'type' of one of: 'event', 'hogql', 'person'"


def denied(detail: str) -> tuple[int, Any]:
    return 403, error("authentication_error", "permission_denied", detail)


@pytest.mark.parametrize("model", ["events", "persons", "sessions"])
async def test_models_that_there_are(api: httpx.AsyncClient, model: str) -> None:
    export = await created(api, no_op(model=model))
    assert (export["model"], export["schema"], export["incremental_mode"]) == (model, None, "APPEND")


async def test_hogql_is_refused_by_its_flag_and_then_by_this_version(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant
) -> None:
    sent = no_op(model="hogql", name="", hogql_query="SELECT 1 AS x")
    answer = await api.post("/batch_exports/", json=sent)
    assert refused(answer) == denied("HogQL batch exports are not enabled for this team.")
    await set_flag(runtime, tenant.project_id, "hogql-batch-exports", True)
    answer = await api.post("/batch_exports/", json={**sent, "name": "x"})
    assert refused(answer) == (400, invalid("The 'hogql' model is not supported by this version yet", "model"))


async def test_sessions_have_a_flag(api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant) -> None:
    await set_flag(runtime, tenant.project_id, "sessions-batch-exports", False)
    answer = await api.post("/batch_exports/", json=no_op(model="sessions", interval="?"))
    assert refused(answer) == denied("Sessions batch exports are not enabled for this team.")


@pytest.mark.parametrize("interval", ["every 5 minutes", "every 15 minutes"])
async def test_short_intervals_have_a_flag(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, interval: str
) -> None:
    export = await created(api, no_op(interval=interval))
    hourly = await created(api, no_op())
    await set_flag(runtime, tenant.project_id, "high-frequency-batch-exports", False)
    expected = denied("Higher frequency batch exports are not enabled for this team.")
    assert refused(await api.post("/batch_exports/", json=no_op(interval=interval, name="", paused="?"))) == expected
    url = f"/batch_exports/{hourly['id']}/"
    assert refused(await api.patch(url, json={"interval": interval})) == expected
    assert refused(await api.put(url, json=no_op(interval=interval))) == expected
    # What runs already may be changed otherwise.
    assert (await api.patch(f"/batch_exports/{export['id']}/", json={"name": "New"})).status_code == 200


@pytest.mark.parametrize(
    ("fields", "detail", "attr"),
    [
        ({"filters": {}}, "'filters' should be an array of filters", "filters"),
        ({"filters": ""}, "'filters' should be an array of filters", "filters"),
        ({"filters": [FILTER, "x"]}, "Each filter must be an object", "filters"),
        ({"filters": [{"key": "data_interval_start"}]}, WINDOW, "filters"),
        ({"filters": [{"key": "data_interval_end", "type": "event"}]}, WINDOW, "filters"),
        ({"filters": [{"key": "x"}]}, TYPE, "filters"),
        ({"filters": [{"type": ["event"]}]}, TYPE, "filters"),
        ({"filters": "", "model": "persons"}, "'filters' should be an array of filters", "filters"),
        *(
            ({field: value, "model": model}, f"'{field}' is only supported for 'events' not '{model}' model", field)
            for field, value in (("filters", []), ("filters", [FILTER]), ("hogql_query", "SELECT 1"))
            for model in ("persons", "sessions")
        ),
        *(
            ({field: value, "model": model}, f"'{field}' is only supported for 'hogql' not '{model}' model", field)
            for field, value in (("hogql_modifiers", {}), ("primary_key", ["a"]), ("version_key", ["a"]))
            for model in ("events", "persons", "sessions")
        ),
    ],
)
async def test_fields_that_a_model_does_not_have(
    api: httpx.AsyncClient, fields: dict[str, Any], detail: str, attr: str
) -> None:
    assert refused(await api.post("/batch_exports/", json=no_op(**fields))) == (400, invalid(detail, attr))


@pytest.mark.parametrize("field", ["primary_key", "version_key"])
@pytest.mark.parametrize(
    ("value", "detail", "code", "place"),
    [
        ("a", 'Expected a list of items but got type "str".', "not_a_list", ""),
        ({}, 'Expected a list of items but got type "dict".', "not_a_list", ""),
        ([], "This list may not be empty.", "empty", ""),
        (["a", " "], "This field may not be blank.", "blank", "__1"),
        ([None], "This field may not be null.", "null", "__0"),
        ([1], "Not a valid string.", "invalid_input", "__0"),
    ],
)
async def test_keys_are_lists_of_names(
    api: httpx.AsyncClient, field: str, value: Any, detail: str, code: str, place: str
) -> None:
    answer = await api.post("/batch_exports/", json=no_op(**{field: value}))
    assert refused(answer) == (400, invalid(detail, f"{field}{place}", code))


async def test_no_filters_are_accepted_and_kept(api: httpx.AsyncClient) -> None:
    export = await created(api, no_op(filters=[]))
    url = f"/batch_exports/{export['id']}/"
    assert export["filters"] == []
    assert (await api.patch(url, json={"name": "New"})).json()["filters"] == []
    assert (await api.patch(url, json={"filters": None})).json()["filters"] is None


async def test_the_incremental_mode_is_kept(api: httpx.AsyncClient) -> None:
    assert (await created(api, no_op(incremental_mode=None)))["incremental_mode"] == "APPEND"
    export = await created(api, no_op(incremental_mode="MERGE"))
    url = f"/batch_exports/{export['id']}/"
    assert (await api.patch(url, json={"name": "New"})).json()["incremental_mode"] == "MERGE"
    answer = await api.patch(url, json={"incremental_mode": "append"})
    assert refused(answer) == (400, invalid('"append" is not a valid choice.', "incremental_mode", "invalid_choice"))


@pytest.mark.parametrize("zone", ["US/Pacific", "Asia/Kathmandu", "GB", "Etc/GMT+5", "America/Argentina/Buenos_Aires"])
async def test_time_zones_and_their_other_names(api: httpx.AsyncClient, zone: str) -> None:
    assert (await created(api, no_op(timezone=zone)))["timezone"] == zone


@pytest.mark.parametrize("zone", ["us/pacific", "localtime", "Factory", "+01:00", "../UTC", ""])
async def test_what_is_no_time_zone(api: httpx.AsyncClient, zone: str) -> None:
    expected = invalid(f'"{zone}" is not a valid choice.', "timezone", "invalid_choice")
    assert refused(await api.post("/batch_exports/", json=no_op(timezone=zone))) == (400, expected)
