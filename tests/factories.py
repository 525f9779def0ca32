"""Rows for tests, with everything filled in that a test does not care about."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.clocks import elapsing
from app.crypto import Cipher
from app.models import Backfill, Export, Integration, Organization, Project
from app.runs.claim import Claim
from app.tenants.service import create_organization, create_project


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


CLAIM: dict[str, Any] = {
    "epoch": 1,
    "attempt": 0,
    "project_id": 1,
    "backfill_id": None,
    "model": "events",
    "destination_type": "NoOp",
    "destination_config": b"",
    "start": utc(2026, 1, 1),
    "end": utc(2026, 1, 2),
    "select_by": "ingested_at",
    "interval": "hour",
    "lease_ttl": timedelta(seconds=40),
    "claimed_at": utc(2026, 6, 1),
    "filters": None,
    "hogql_query": None,
}


async def make_project(session: AsyncSession, organization: Organization | None = None) -> Project:
    if organization is None:
        organization = await create_organization(session, "Test organization")
    return await create_project(session, organization.id, "Test project")


async def make_export(
    session: AsyncSession,
    cipher: Cipher,
    project: Project | None = None,
    *,
    destination_type: str = "NoOp",
    config: dict[str, Any] | None = None,
    **values: Any,
) -> Export:
    project = project or await make_project(session)
    defaults: dict[str, Any] = {"name": "Test export", "interval": "hour", "next_start": utc(2026, 1, 1)}
    export = Export(
        project_id=project.id,
        destination_type=destination_type,
        destination_config=cipher.seal(config or {}),
        **{**defaults, **values},
    )
    session.add(export)
    await session.flush()
    return export


async def make_backfill(session: AsyncSession, export: Export, **values: Any) -> Backfill:
    backfill = Backfill(export_id=export.id, project_id=export.project_id, **values)
    session.add(backfill)
    await session.flush()
    return backfill


async def add_event(
    session: AsyncSession,
    team_id: int,
    timestamp: datetime,
    *,
    inserted_at: datetime | None = None,
    event: str = "$pageview",
    properties: str = "{}",
    uuid: UUID | None = None,
) -> UUID:
    """One event, straight into the event store."""
    uuid = uuid or uuid4()
    await session.execute(
        text(
            "INSERT INTO event_store.events (uuid, team_id, event, distinct_id, properties, timestamp, inserted_at) "
            "VALUES (:uuid, :team_id, :event, 'user', CAST(:properties AS json), :timestamp, :inserted_at)"
        ),
        {
            "uuid": uuid,
            "team_id": team_id,
            "event": event,
            "properties": properties,
            "timestamp": timestamp,
            "inserted_at": inserted_at or timestamp,
        },
    )
    return uuid


async def make_integration(
    session: AsyncSession,
    cipher: Cipher,
    project_id: int,
    kind: str = "s3-compatible",
    *,
    config: dict[str, Any] | None = None,
    sensitive_config: dict[str, Any] | None = None,
) -> Integration:
    """Stored as given, or as a valid one of the kind ``s3-compatible``."""
    integration = Integration(
        project_id=project_id,
        kind=kind,
        config={"name": "Archive", "endpoint_url": "https://objects.test"} if config is None else config,
        sensitive_config=cipher.seal(
            {"aws_access_key_id": "the-access-key", "aws_secret_access_key": "the-secret-key"}
            if sensitive_config is None
            else sensitive_config
        ),
    )
    session.add(integration)
    await session.flush()
    return integration


def make_claim(**values: Any) -> Claim:
    """A claim of no row, for what works on claims."""
    return Claim(**{**CLAIM, "run_id": uuid4(), "export_id": uuid4(), "asked": elapsing(), **values})
