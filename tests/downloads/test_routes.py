"""What the routes of downloads take, refuse and show, word for word (the contract's section 12)."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.main import create_app
from app.models import Run
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from tests.conftest import Clock
from tests.downloads.asking import PATH, START, Downloads, ask, body, link, query, set_flag, shown
from tests.http.callers import NOT_FOUND, Tenant, error, invalid, open_client, refused

DAY = timedelta(days=1)
ONLY = "Only {data_interval_start} and {data_interval_end} are supported in batch export queries"
NO_HOGQL = error("authentication_error", "permission_denied", "HogQL batch exports are not enabled for this team.")
BOTH = invalid("'data_interval_start' and 'data_interval_end' are required. Provide both bounds.")
UNNAMED = "Every column in the SELECT clause must be a field or have an alias (e.g. `count() AS event_count`)"


@pytest.fixture
async def hogql(runtime: Runtime, tenant: Tenant) -> None:
    await set_flag(runtime, "hogql-batch-exports", True)


async def nothing_stored(runtime: Runtime) -> None:
    async with runtime.sessions() as session:
        for table in ("downloads", "runs", "exports"):
            assert (await session.scalars(text(f"SELECT count(*) FROM {table}"))).one() == 0


def without(document: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in fields}


def iso(days: float) -> str:
    """Of a moment so long after the window's start."""
    return (START + timedelta(days=days)).isoformat()


LZ4 = "Compression lz4 is not supported for file format JSONLines. Supported compressions are ['gzip', 'brotli']"
REFUSED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (without(body(), "file"), invalid("This field is required.", "file", "required")),
    (without(body(), "model"), invalid("This field is required.", "model", "required")),
    (body(file=None), invalid("This field may not be null.", "file", "null")),
    (body(model="groups"), invalid('"groups" is not a valid choice.', "model", "invalid_choice")),
    (body(file={"format": "CSV"}), invalid('"CSV" is not a valid choice.', "file__format", "invalid_choice")),
    (body(file={"compression": "zip"}), invalid('"zip" is not a valid choice.', "file__compression", "invalid_choice")),
    (body(file={"format": "JSONLines", "compression": "lz4"}), invalid(LZ4, "file__compression")),
    (
        body(file={"max_size_mb": -1}),
        invalid("Ensure this value is greater than or equal to 0.", "file__max_size_mb", "min_value"),
    ),
    (body(file={"max_size_mb": "x"}), invalid("A valid integer is required.", "file__max_size_mb")),
    (body(include="a"), invalid('Expected a list of items but got type "str".', "include", "not_a_list")),
    (body(exclude=["a", 1]), invalid("Not a valid string.", "exclude__1")),
    (without(body(), "data_interval_start"), BOTH),
    (body(data_interval_end=None), BOTH),
    (
        body(data_interval_start=iso(1.5)),
        invalid("'data_interval_end' must occur after 'data_interval_start'"),
    ),
    (
        body(data_interval_end=iso(7.001)),
        invalid("data interval range too big. Choose an interval of at most seven days."),
    ),
    (
        body(data_interval_start="2026-05-30", data_interval_end="2026-06-01T12:00:01"),
        invalid("The provided 'data_interval_end' (2026-06-01T12:00:01+00:00) is in the future"),
    ),
    (
        body(hogql_query="SELECT event FROM events"),
        invalid("'hogql_query' is only supported when 'model' is 'hogql'", "hogql_query"),
    ),
    (
        body(hogql_modifiers={}),
        invalid("'hogql_modifiers' are only supported when 'model' is 'hogql'", "hogql_modifiers"),
    ),
]


async def test_bodies_that_are_refused(api: httpx.AsyncClient, runtime: Runtime) -> None:
    for document, expected in REFUSED:
        assert refused(await api.post(PATH, json=document)) == (400, expected), document
    assert (await api.post(PATH, content=b"{")).json()["code"] == "parse_error"
    await nothing_stored(runtime)


START_TOO = "SELECT event FROM events WHERE timestamp >= {data_interval_start}"
REFUSED_QUERIES: list[tuple[dict[str, Any], str, str | None]] = [
    (query(START_TOO, include=["a"]), "'include' and 'exclude' are not supported when 'model' is 'hogql'", None),
    (without(query(""), "hogql_query"), "'hogql_query' is required when 'model' is 'hogql'", "hogql_query"),
    (
        query(START_TOO),
        "'data_interval_start' is required because the query references '{data_interval_start}'.",
        "data_interval_start",
    ),
    (
        query("SELECT event FROM events WHERE timestamp < {data_interval_end}", data_interval_start=iso(0)),
        "'data_interval_end' is required because the query references '{data_interval_end}'.",
        "data_interval_end",
    ),
    (
        query(START_TOO, data_interval_start="2026-07-01"),
        "The provided 'data_interval_start' (2026-07-01T00:00:00+00:00) is in the future",
        None,
    ),
    (query("SELECT {x} AS x FROM events"), f"Unknown placeholder '{{x}}'. {ONLY}", "hogql_query"),
    (query("SELECT event FROM events WHERE {filters}"), f"Unsupported placeholder. {ONLY}", "hogql_query"),
    (query("SELECT {1 + 1} AS x FROM events"), f"Unsupported placeholder. {ONLY}", "hogql_query"),
    (query("SELECT 1 + 1 FROM events"), UNNAMED, "hogql_query"),
    (query("SELECT"), "Failed to parse HogQL query: ", "hogql_query"),
    (query("SELECT event FROM events LIMIT 1"), "Invalid HogQL query: It needs more than one event", "hogql_query"),
    (query("SELECT nothing FROM events"), "Invalid HogQL query: Unable to resolve field: nothing", "hogql_query"),
    (query("SELECT uuid FROM persons"), "Invalid HogQL query: There is no table `persons`", "hogql_query"),
]


@pytest.mark.usefixtures("hogql")
async def test_queries_that_are_refused(api: httpx.AsyncClient, runtime: Runtime) -> None:
    for document, detail, attr in REFUSED_QUERIES:
        status, answer = refused(await api.post(PATH, json=document))
        assert status == 400, document
        assert answer["detail"].startswith(detail), answer
        assert answer == invalid(answer["detail"], attr)
        if "include" not in document:
            assert refused(await api.post(f"{PATH}count_rows/", json=document)) == (400, answer)
    await nothing_stored(runtime)


async def test_models_behind_flags(api: httpx.AsyncClient, runtime: Runtime) -> None:
    # A flag that is off is told though more is wrong behind it.
    for path in (PATH, f"{PATH}count_rows/"):
        assert refused(await api.post(path, json=query("SELECT", file=1))) == (403, NO_HOGQL)
    await set_flag(runtime, "sessions-batch-exports", False)
    detail = "Sessions batch exports are not enabled for this team."
    expected = error("authentication_error", "permission_denied", detail)
    assert refused(await api.post(PATH, json=body(model="sessions"))) == (403, expected)
    await nothing_stored(runtime)


async def test_bounds_without_a_zone_are_utc_and_equal_ones_are_a_window(
    api: httpx.AsyncClient, downloads: Downloads, runtime: Runtime
) -> None:
    cases = [
        {"data_interval_start": "2026-05-01T00:00:00", "data_interval_end": "2026-05-01 00:00"},
        {"data_interval_start": iso(0), "data_interval_end": iso(7)},
        {"data_interval_start": "2026-06-01T12:00:00+00:00", "data_interval_end": "2026-06-01T14:00:00+02:00"},
    ]
    found = []
    for bounds in cases:
        download_id = await ask(api, **bounds)
        async with runtime.sessions() as session:
            run = await session.get_one(Run, (await downloads.row(download_id)).run_id)
        found.append((run.data_interval_start, run.data_interval_end))
        # As ever: what comes in late is waited for.
        assert run.not_before >= run.data_interval_end + runtime.settings.settle_delay
    now = runtime.clock()
    assert found == [(START, START), (START, START + 7 * DAY), (now, now)]


async def test_without_a_bucket_there_are_no_downloads(settings: Settings, clock: Clock, tenant: Tenant) -> None:
    bare = settings.model_copy(update={"download_bucket_name": None})
    async with open_runtime(bare, application_name="tests", clock=clock) as runtime:
        app = create_app(bare)
        app.state.runtime = runtime
        async with open_client(app, tenant) as client:
            status, answer = refused(await client.post(PATH, json=body()))
            assert status == 400
            assert "BATCH_EXPORTS_DOWNLOAD_BUCKET_NAME" in answer["detail"]
            assert answer == invalid(answer["detail"], code="not_configured")
            # What is wrong with the body comes first, as everywhere.
            assert refused(await client.post(PATH, json=body(model=None)))[1]["attr"] == "model"
        await nothing_stored(runtime)


async def test_the_list_is_newest_first_and_comes_in_pages(app: FastAPI, api: httpx.AsyncClient, clock: Clock) -> None:
    empty: dict[str, Any] = {"count": 0, "next": None, "previous": None, "results": []}
    assert (await api.get(PATH)).json() == empty
    ids: list[str] = []
    for _ in range(3):
        ids.insert(0, await ask(api))
        clock.now += timedelta(seconds=1)
    page = (await api.get(PATH, params={"limit": 2})).json()
    assert page["results"] == [{"id": one, "status": "Starting"} for one in ids[:2]]
    assert (page["count"], page["previous"]) == (3, None)
    rest = (await api.get(page["next"])).json()
    assert (rest["results"], rest["next"]) == ([{"id": ids[2], "status": "Starting"}], None)
    answer = await api.get(f"{api.base_url}/".replace("/projects/", "/environments/").rstrip("/") + PATH)
    assert answer.json()["count"] == 3
    assert (await api.get("http://service.test/api/organizations/@current" + PATH)).status_code == 404


async def test_what_cannot_be_fetched(
    api: httpx.AsyncClient, downloads: Downloads, tenant: Tenant, runtime: Runtime
) -> None:
    await downloads.add_events(tenant.project_id, 1)
    download_id = await ask(api)
    assert await shown(api, download_id) == {"status": "Starting"}
    assert refused(await link(api, download_id)) == (400, invalid("Batch export run is still in progress"))
    await downloads.make()
    [file_id] = (await shown(api, download_id))["files"]
    for part in ("x", "-1", "0x0", "1.0", "²", f"{file_id}0"):
        assert refused(await link(api, download_id, part)) == (400, invalid(f"Invalid file id or index: '{part}'"))
    for part, shown_as in (("1", "1"), ("001", "1"), ("9" * 40, "9" * 40)):
        expected = error("invalid_request", "not_found", f"No files with index {shown_as}")
        assert refused(await link(api, download_id, part)) == (404, expected)
    assert refused(await link(api, download_id, download_id)) == (404, NOT_FOUND)
    for none_or_first in (None, 0):
        assert refused(await link(api, file_id, none_or_first)) == (404, NOT_FOUND)
    for status, detail in [
        *(
            (status, "has failed")
            for status in ("Failed", "FailedRetryable", "FailedBilling", "Terminated", "TimedOut")
        ),
        ("Cancelled", "was cancelled"),
        ("Running", "is still in progress"),
    ]:
        async with runtime.sessions.begin() as session:
            await session.execute(text("UPDATE runs SET status = :status"), {"status": status})
        assert refused(await link(api, download_id)) == (400, invalid(f"Batch export run {detail}")), status
    async with runtime.sessions.begin() as session:
        await session.execute(text("UPDATE runs SET status = 'Completed', latest_error = 'Transient: x'"))
        await session.execute(text("DELETE FROM run_files"))
    # Rows whose files are not on record yet.
    assert await shown(api, download_id) == {"status": "Running", "error": "Transient: x"}


async def test_cancelling_before_a_worker_has_it_and_after(api: httpx.AsyncClient, downloads: Downloads) -> None:
    for claimed in (False, True):
        download_id = await ask(api)
        if claimed:
            await downloads.claim()
        answer = await api.post(f"{PATH}{download_id}/cancel/")
        assert (answer.status_code, answer.json()) == (200, {"status": "Cancelled"})
        assert await shown(api, download_id) == {"status": "Cancelled"}
        again = await api.post(f"{PATH}{download_id}/cancel/")
        assert refused(again) == (400, invalid("Cannot cancel a run that is in 'Cancelled' status"))
    [entry] = (await api.get(f"{PATH}{download_id}/logs/", params={"limit": 1})).json()["results"]
    assert (entry["level"], entry["message"]) == ("INFO", "The run was cancelled")
