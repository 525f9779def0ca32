"""The HTTP application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.backfills import routes as backfills
from app.exports import routes as exports
from app.http.body_limit import BodyLimit
from app.http.errors import install_error_handlers
from app.runs import routes as runs
from app.runtime import Runtime, open_runtime
from app.settings import Settings

READY_LIMIT = 3.0
"""Seconds in which the services must answer for this process to be ready."""

ON_EVERY_MOUNT = (exports.router, backfills.actions)
IN_PROJECTS = (runs.router, backfills.router)
MOUNTS = {
    "/api/projects/{project_id}": (*ON_EVERY_MOUNT, *IN_PROJECTS),
    "/api/environments/{project_id}": (*ON_EVERY_MOUNT, *IN_PROJECTS),
    "/api/organizations/{organization_id}": ON_EVERY_MOUNT,
}

DESCRIPTION = """Streams product-analytics events to people's own stores.

Press **Authorize** and paste a key made with `batch-exports keys create` (`batch-exports dev` prints one). A project's
id may be `@current`."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The API on ``settings``, or on those of the environment."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_runtime(settings, application_name="batch-exports api") as runtime:
            app.state.runtime = runtime
            yield

    app = FastAPIOffline(
        title="Batch Exports",
        version="0.1.0",
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        swagger_ui_parameters={"persistAuthorization": True, "docExpansion": "list"},
    )
    app.add_middleware(BodyLimit, max_bytes=settings.api_max_body_bytes)
    install_error_handlers(app)
    for prefix, routers in MOUNTS.items():
        for router in routers:
            app.include_router(router, prefix=prefix)
    _add_health(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


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


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The document, with the parameters that stand in the mounts' paths rather than in any route's signature."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for path, operations in document["paths"].items():
            for name, text_ in (
                ("project_id", "A project's id, or `@current`."),
                ("organization_id", "An organization's id, or `@current`."),
            ):
                if f"{{{name}}}" not in path:
                    continue
                for operation in operations.values():
                    operation.setdefault("parameters", []).insert(
                        0,
                        {
                            "name": name,
                            "in": "path",
                            "required": True,
                            "description": text_,
                            "schema": {"type": "string", "default": "@current"},
                        },
                    )
        app.openapi_schema = document
    return app.openapi_schema
