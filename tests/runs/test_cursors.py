"""Cursors lead through a list, there and back, while rows are added to it (the contract's section 1.4)."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from app.backfills import service as backfills
from app.models import Backfill, Export, Run
from app.runs import service as runs
from app.runtime import Runtime
from tests.factories import utc
from tests.http.callers import created, no_op

PAGE = 3
Row = Callable[[Export, int], Run | Backfill]


def run_at(export: Export, hour: int) -> Run:
    start = utc(2026, 6, 1) - timedelta(hours=hour)
    return Run(
        export_id=export.id,
        project_id=export.project_id,
        data_interval_start=start,
        # Several runs of one start: only scheduled ones are alone in their window.
        data_interval_end=start + timedelta(hours=1),
        created_at=start,
    )


def backfill_at(export: Export, hour: int) -> Backfill:
    start = utc(2026, 6, 1) - timedelta(hours=hour)
    return Backfill(
        export_id=export.id, project_id=export.project_id, start_at=start if hour else None, created_at=start
    )


async def add(runtime: Runtime, export_id: str, row: Row, hours: Sequence[int]) -> list[str]:
    async with runtime.sessions.begin() as session:
        export = await session.get_one(Export, UUID(export_id))
        added = [row(export, hour) for hour in hours]
        session.add_all(added)
    return [str(one.id) for one in added]


async def walk(
    api: httpx.AsyncClient, url: str, direction: str, more: list[list[int]], adding: Callable[[list[int]], Any]
) -> list[dict[str, Any]]:
    """The pages from ``url`` on; rows are added on the way."""
    pages = []
    following: str | None = url
    while following is not None:
        answer = await api.get(following)
        assert answer.status_code == 200, answer.text
        pages.append(answer.json())
        if more:
            await adding(more.pop())
        following = pages[-1][direction]
    return pages


hours = st.integers(0, 30)


@pytest.mark.parametrize(
    ("path", "row", "service", "of"),
    [("runs", run_at, runs, "data_interval_start"), ("backfills", backfill_at, backfills, "start_at")],
)
@examples(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.lists(hours, min_size=1, max_size=12, unique=True),
    later=st.lists(st.lists(hours, max_size=3), max_size=8),
    descending=st.booleans(),
    by_creation=st.booleans(),
)
async def test_no_row_is_passed_over_or_shown_twice(
    api: httpx.AsyncClient,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    row: Row,
    service: Any,
    of: str,
    first: list[int],
    later: list[list[int]],
    descending: bool,
    by_creation: bool,
) -> None:
    monkeypatch.setattr(service, "PAGE_SIZE", PAGE)
    export_id = (await created(api, no_op()))["id"]
    ordering = f"{'-' if descending else ''}{'created_at' if by_creation else of}"
    # What came first, in the list's order; what is added may appear or not, depending on where the reader is.
    there = await add(runtime, export_id, row, first)
    taken = set(first)

    async def adding(at: list[int]) -> None:
        fresh = [hour for hour in dict.fromkeys(at) if hour not in taken] if path == "runs" else at
        taken.update(fresh)
        await add(runtime, export_id, row, fresh)

    url = f"/batch_exports/{export_id}/{path}/?ordering={ordering}&after=-90d&start=-90d"
    half = len(later) // 2
    pages = await walk(api, url, "next", later[:half], adding)
    forth = [one["id"] for page in pages for one in page["results"]]
    # Back from the last page as it was read.
    last = pages[-1]
    pages = [last]
    if last["previous"] is not None:
        pages += await walk(api, last["previous"], "previous", later[half:], adding)
    back = [one["id"] for page in reversed(pages) for one in page["results"]]
    assert [one for one in forth if one in there] == [one for one in back if one in there]
    for seen in (forth, back):
        assert len(set(seen)) == len(seen)
        assert set(there) <= set(seen)
