"""What tests say to the routes of downloads, and how they have them made."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import text

from app.embedded import Stack
from app.models import Download
from app.pipeline.execute import Executor
from app.runs.claim import Claim
from app.runtime import Runtime
from tests.factories import add_event, utc
from tests.worker.bucket import contents

START, END = utc(2026, 5, 1), utc(2026, 5, 2)
PATH = "/file_download_batch_exports/"


def body(**fields: Any) -> dict[str, Any]:
    """Of a create."""
    window = {"data_interval_start": START.isoformat(), "data_interval_end": END.isoformat()}
    return {"file": {}, "model": "events", **window, **fields}


def query(text: str, **fields: Any) -> dict[str, Any]:
    return {"file": {"format": "JSONLines"}, "model": "hogql", "hogql_query": text, **fields}


async def ask(api: httpx.AsyncClient, **fields: Any) -> str:
    return await asked(api, body(**fields))


async def asked(api: httpx.AsyncClient, document: dict[str, Any]) -> str:
    answer = await api.post(PATH, json=document)
    assert answer.status_code == 202, answer.text
    assert answer.json().keys() == {"id"}
    return str(answer.json()["id"])


async def shown(api: httpx.AsyncClient, download_id: str) -> dict[str, Any]:
    answer = await api.get(f"{PATH}{download_id}/")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def link(api: httpx.AsyncClient, download_id: str, part: object = None) -> httpx.Response:
    return await api.get(f"{PATH}{download_id}/download/{'' if part is None else f'{part}/'}")


async def fetched(api: httpx.AsyncClient, download_id: str, part: object = None) -> httpx.Response:
    """The file itself, as a browser gets it: with the link alone."""
    answer = await link(api, download_id, part)
    assert answer.status_code == 302, answer.text
    # Plain HTTP needs no certificates, and loading them takes longer than the request.
    async with httpx.AsyncClient(verify=False) as browser:
        file = await browser.get(answer.headers["Location"])
    assert file.status_code == 200, file.text
    return file


async def set_flag(runtime: Runtime, flag: str, on: bool) -> None:
    async with runtime.sessions.begin() as session:
        await session.execute(
            text("UPDATE projects SET flags = flags || jsonb_build_object(CAST(:flag AS text), CAST(:on AS boolean))"),
            {"flag": flag, "on": on},
        )


@dataclass(frozen=True)
class Downloads:
    """The service's side of them."""

    runtime: Runtime
    stack: Stack

    @property
    def executor(self) -> Executor:
        return Executor(self.runtime, "worker-1")

    async def add_events(self, project_id: int, count: int, **values: Any) -> list[str]:
        """In the window of :func:`body`, by both of their times; their uuids."""
        async with self.runtime.sessions.begin() as session:
            return [
                str(await add_event(session, project_id, START + timedelta(seconds=number), **values))
                for number in range(count)
            ]

    async def claim(self) -> Claim:
        claim = await self.executor.claim()
        assert claim is not None
        return claim

    async def make(self) -> None:
        """The one that waits."""
        await self.executor.execute(await self.claim())

    async def objects(self) -> list[str]:
        """Every key of the test's own; there must be no unfinished upload."""
        return sorted(await contents(self.stack, f"{self.runtime.settings.download_prefix}/"))

    async def row(self, download_id: str) -> Download:
        async with self.runtime.sessions() as session:
            return await session.get_one(Download, UUID(download_id))
