"""The HTTP application."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.backfills import routes as backfills
from app.downloads import routes as downloads
from app.exports import interval_routes, trial_routes
from app.exports import routes as exports
from app.http.body_limit import BodyLimit
from app.http.errors import install_error_handlers
from app.http.methods import install_method_errors
from app.http.paths import in_organization, in_project
from app.http.slash import OptionalSlash
from app.intake import error_routes as ingestion_errors
from app.intake import routes as intake
from app.intake.cors import IntakeCors
from app.intake.errors import Busy
from app.intake.paths import takes_events
from app.intake.service import open_intake
from app.integrations import routes as integrations
from app.logs import routes as logs
from app.notifications import routes as notifications
from app.preview import routes as preview
from app.runs import routes as runs
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from app.verification import routes as verification

READY_LIMIT = 3.0
"""Seconds in which the services must answer for this process to be ready."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A prefix under which the API is served; ``name`` begins the ids of its operations."""

    name: str
    prefix: str
    routers: Sequence[APIRouter]
    scope: Callable[..., Awaitable[None]]


ON_EVERY_MOUNT = (trial_routes.router, preview.router, exports.router, backfills.actions, logs.router)
IN_PROJECTS = (
    *(*ON_EVERY_MOUNT, integrations.router, notifications.router),
    *(runs.router, verification.router, logs.runs, backfills.router, backfills.retries, interval_routes.router),
    *(downloads.router, ingestion_errors.router),
)
MOUNTS = (
    Mount("projects", "/api/projects/{project_id}", IN_PROJECTS, in_project),
    Mount("environments", "/api/environments/{project_id}", IN_PROJECTS, in_project),
    Mount("organizations", "/api/organizations/{organization_id}", ON_EVERY_MOUNT, in_organization),
)

TAGS = [
    {"name": "exports", "description": "What is exported, where to, and how often."},
    {"name": "integrations", "description": "Credentials kept once, and used by many exports."},
    {"name": "connection tests", "description": "Trying out a destination, step by step. Nothing is stored."},
    {"name": "runs", "description": "One window of an export, on its way to the destination."},
    {"name": "backfills", "description": "A range of the past, exported window by window."},
    {"name": "file downloads", "description": "What is exported once, on demand, to files that people download."},
    {"name": "intervals", "description": "What became of every interval of an export."},
    {"name": "logs", "description": "What runs have to say to people."},
    {"name": "intake", "description": "Events, as the SDKs of PostHog send them, and what was wrong with them."},
    {"name": "notifications", "description": "Who is told when a run fails, an export is paused, or one is late."},
]

DESCRIPTION = """Streams product-analytics events to people's own stores.

Press **Authorize** and paste a key made with `batch-exports keys create` (`batch-exports dev` prints one). A project's
id may be `@current`."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The API on ``settings``, or on those of the environment."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            open_runtime(settings, application_name="batch-exports api") as runtime,
            open_intake(runtime) as app.state.intake,
        ):
            app.state.runtime = runtime
            yield

    app = FastAPIOffline(
        title="Batch Exports",
        version="0.1.0",
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_tags=TAGS,
        redirect_slashes=False,
        redoc_url=None,
        swagger_ui_parameters={
            "persistAuthorization": True,
            "docExpansion": "list",
            "defaultModelsExpandDepth": 0,  # there are many, and every route shows its own
        },
    )

    def max_bytes(path: str) -> int:
        return settings.intake_max_body_bytes if takes_events(path) else settings.api_max_body_bytes

    app.add_middleware(BodyLimit, max_bytes=max_bytes)
    app.add_middleware(OptionalSlash)
    app.add_middleware(IntakeCors)
    install_error_handlers(app)
    app.add_exception_handler(Busy, intake.busy)
    for mount in MOUNTS:
        for router in mount.routers:
            app.include_router(
                router,
                prefix=mount.prefix,
                dependencies=[Depends(mount.scope)],
                generate_unique_id_function=partial(_operation_id, mount.name),
            )
    app.include_router(intake.router, generate_unique_id_function=partial(_operation_id, "intake"))
    _add_health(app)
    install_method_errors(app)
    return app


def _operation_id(mount: str, route: APIRoute) -> str:
    return f"{mount}_{route.name}"


def _add_health(app: FastAPI) -> None:
    @app.get("/health/live", include_in_schema=False)
    async def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @app.get("/health/ready", include_in_schema=False)
    async def ready(request: Request) -> JSONResponse:
        """The process can do its work."""
        runtime: Runtime = request.app.state.runtime
        down = [
            name
            for name, answers in (("database", _database_answers(runtime)), ("redis", _redis_answers(runtime)))
            if not await answers
        ]
        return JSONResponse({"status": "unavailable" if down else "ok", "down": down}, status_code=503 if down else 200)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _database_answers(runtime: Runtime) -> bool:
    try:
        async with asyncio.timeout(READY_LIMIT), runtime.sessions() as session:
            await session.execute(text("SELECT 1"))
    except (SQLAlchemyError, OSError, TimeoutError):
        return False
    return True


async def _redis_answers(runtime: Runtime) -> bool:
    try:
        async with asyncio.timeout(READY_LIMIT):
            await runtime.queue.ping()
    except (RedisError, OSError, TimeoutError):
        return False
    return True
