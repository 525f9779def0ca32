"""Lists of exports: pages, what they show, what they cost (the contract's sections 1.4 and 2.3)."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.models import Export, Run
from app.runtime import Runtime
from tests.conftest import Clock
from tests.factories import utc
from tests.http.callers import created, no_op
from tests.http.statements import counting

URL = "/batch_exports/"


async def many(api: httpx.AsyncClient, clock: Clock, count: int) -> list[str]:
    """Names, oldest first."""
    for number in range(count):
        clock.now += timedelta(minutes=1)
        await created(api, no_op(name=f"{number}"))
    return [f"{number}" for number in range(count)]


async def test_an_empty_list(api: httpx.AsyncClient) -> None:
    assert (await api.get(URL)).json() == {"count": 0, "next": None, "previous": None, "results": []}


async def test_pages_lead_to_one_another_newest_first(api: httpx.AsyncClient, clock: Clock) -> None:
    names = await many(api, clock, 5)
    url = f"{api.base_url}batch_exports/"
    page = (await api.get(URL, params={"limit": 2})).json()
    assert [one["name"] for one in page["results"]] == ["4", "3"]
    assert (page["count"], page["next"], page["previous"]) == (5, f"{url}?limit=2&offset=2", None)

    seen = []
    following: str | None = f"{url}?limit=2"
    while following:
        page = (await api.get(following)).json()
        seen += [one["name"] for one in page["results"]]
        following = page["next"]
    assert seen == names[::-1]
    assert page["previous"] == f"{url}?limit=2&offset=2"
    page = (await api.get(page["previous"])).json()
    assert page["previous"] == f"{url}?limit=2"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("limit=1&offset=1", ["1"]),
        ("limit=0", ["2", "1", "0"]),
        ("limit=-1&offset=-1", ["2", "1", "0"]),
        ("limit=x&offset=", ["2", "1", "0"]),
        ("offset=3", []),
        (f"limit={'9' * 5000}", ["2", "1", "0"]),
        (f"limit={'0' * 5000}1", ["2"]),
        (f"offset={'9' * 5000}", []),
    ],
)
async def test_odd_limits_and_offsets(api: httpx.AsyncClient, clock: Clock, query: str, names: list[str]) -> None:
    await many(api, clock, 3)
    answer = await api.get(f"{URL}?{query}")
    assert answer.status_code == 200
    assert [one["name"] for one in answer.json()["results"]] == names


async def add_runs(runtime: Runtime, export: dict[str, Any], count: int) -> None:
    async with runtime.sessions.begin() as session:
        row = await session.get_one(Export, UUID(export["id"]))
        session.add_all(
            Run(
                export_id=row.id,
                project_id=row.project_id,
                data_interval_start=utc(2026, 1, 1, hour),
                data_interval_end=utc(2026, 1, 1, hour + 1),
                created_at=utc(2026, 1, 1, hour + 1, 0, 30),
            )
            for hour in range(count)
        )


async def test_an_export_shows_its_ten_newest_runs(api: httpx.AsyncClient, runtime: Runtime) -> None:
    export = await created(api, no_op())
    await add_runs(runtime, export, 12)
    shown = (await api.get(f"{URL}{export['id']}/")).json()["latest_runs"]
    assert [run["created_at"] for run in shown] == [f"2026-01-01T{hour:02}:00:30Z" for hour in range(12, 2, -1)]
    assert (await api.get(URL)).json()["results"][0]["latest_runs"] == shown
    [newest] = (await api.get(f"{URL}{export['id']}/runs/", params={"after": "2026-01-01T12:00:00Z"})).json()["results"]
    assert newest == shown[0]


async def test_a_list_costs_the_same_whatever_it_holds(api: httpx.AsyncClient, runtime: Runtime) -> None:
    async def cost() -> int:
        with counting(runtime) as statements:
            assert (await api.get(URL)).status_code == 200
        return len(statements)

    first = await created(api, no_op())
    await cost()  # the key's last use is noted
    one = await cost()
    for _ in range(7):
        await add_runs(runtime, await created(api, no_op()), 11)
    await add_runs(runtime, first, 3)
    assert await cost() == one <= 5
