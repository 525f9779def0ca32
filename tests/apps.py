"""The application, made once per process: its routes are put together at their first requests, which takes longer than
most tests do."""

from functools import cache

from fastapi import FastAPI

from app.intake.service import Intake
from app.main import create_app
from app.runtime import Runtime
from app.settings import Settings


def app_on(runtime: Runtime, intake: Intake | None = None) -> FastAPI:
    """The application on a test's own runtime. A test has one at a time."""
    settings = runtime.settings
    app = _app(settings.intake_max_body_bytes, settings.api_max_body_bytes)
    # Whatever a test has left there.
    app.state._state.clear()
    app.state.runtime = runtime
    if intake is not None:
        app.state.intake = intake
    return app


@cache
def _app(intake_max_body_bytes: int, api_max_body_bytes: int) -> FastAPI:
    """For all that the application itself takes from its settings."""
    values = Settings.model_construct(
        intake_max_body_bytes=intake_max_body_bytes, api_max_body_bytes=api_max_body_bytes
    )
    return create_app(values)
