"""An API that takes events in, and a look into its store."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from app.intake.service import Intake, open_intake
from app.models import Project
from app.runtime import Runtime
from app.settings import Settings
from tests.apps import app_on
from tests.http.callers import Tenant
from tests.intake.sending import ROOT


@pytest.fixture
def intake_settings(settings: Settings) -> Settings:
    """A test may change them: parametrize or override."""
    return settings


@pytest.fixture
async def intake(intake_settings: Settings, runtime: Runtime) -> AsyncIterator[Intake]:
    async with open_intake(replace(runtime, settings=intake_settings)) as opened:
        yield opened


@pytest.fixture
def app(intake_settings: Settings, runtime: Runtime, intake: Intake) -> FastAPI:
    return app_on(replace(runtime, settings=intake_settings), intake)


@pytest.fixture
async def token(runtime: Runtime, tenant: Tenant) -> str:
    async with runtime.sessions() as session:
        return (await session.scalars(select(Project.token).where(Project.id == tenant.project_id))).one()


@pytest.fixture
async def sender(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """An app of somebody's: no key, only the address."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ROOT) as client:
        yield client
