"""Integrations and flags for tests of exports."""

from typing import Any

import httpx

from app.models import Project
from app.runtime import Runtime
from tests.factories import make_integration
from tests.http.callers import invalid, no_op, refused

KEYS = {"aws_access_key_id": "the-access-key", "aws_secret_access_key": "the-secret-key"}


async def add_integration(
    runtime: Runtime,
    project_id: int,
    kind: str,
    config: dict[str, Any] | None = None,
    secrets: dict[str, Any] | None = None,
) -> int:
    async with runtime.sessions.begin() as session:
        made = await make_integration(
            session, runtime.cipher, project_id, kind, config=config or {}, sensitive_config=secrets or {}
        )
        return made.id


async def set_flag(runtime: Runtime, project_id: int, flag: str, on: bool) -> None:
    async with runtime.sessions.begin() as session:
        project = await session.get_one(Project, project_id)
        project.flags = {**project.flags, flag: on}


def body(kind: str, config: dict[str, Any], integration: Any = None, **fields: Any) -> dict[str, Any]:
    """Of a create. Keys of the config that are ... are left out; so is an integration that is None."""
    destination = {"type": kind, "config": {key: value for key, value in config.items() if value is not ...}}
    if integration is not None:
        destination["integration"] = integration
    return no_op(destination=destination, **fields)


async def assert_refused(api: httpx.AsyncClient, sent: dict[str, Any], detail: str, attr: str = "destination") -> None:
    assert refused(await api.post("/batch_exports/", json=sent)) == (400, invalid(detail, attr))
    assert (await api.get("/batch_exports/")).json()["count"] == 0
