"""The verbs of production: ``api``, ``worker``, ``migrate`` and ``settings``."""

import os
import sys
from typing import Annotated, Any

import typer
import uvicorn
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from app.cli.output import Json, emit, open_settings, run, verb
from app.db.migrate import upgrade
from app.runtime import check_services
from app.settings import ENV_PREFIX, Settings

Port = Annotated[int, typer.Option(min=0, max=65535, help="0 for any free one.")]


def register(app: typer.Typer) -> None:
    app.command()(api)
    app.command()(worker)
    app.command()(migrate)
    app.command("settings")(show_settings)


@verb
def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Port = 8000,
) -> None:
    """The HTTP API, until interrupted."""
    settings = open_settings()
    run(check_services(settings))
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        host=host,
        port=port,
        log_level=settings.log_level.lower(),
        access_log=False,
        # A load balancer tells the client's address and scheme; links in pages are made from them.
        proxy_headers=True,
        timeout_graceful_shutdown=10,
    )


@verb
def worker() -> None:
    """One worker process, until interrupted. Start as many as wanted, on as many machines."""
    open_settings()
    sys.stdout.flush()
    sys.stderr.flush()
    # The worker is a program of its own: this process becomes it, so signals and exit status are the worker's.
    os.execv(sys.executable, [sys.executable, "-m", "worker"])  # noqa: S606  our own program


@verb
def migrate(as_json: Json = False) -> None:
    """Bring the database's schema to head. Safe to run from several places at once."""
    settings = open_settings()
    revision = run(_migrate(settings))
    emit({"revision": revision}, as_json=as_json, text=f"the schema is at revision {revision}")


async def _migrate(settings: Settings) -> str:
    revision = await upgrade(settings.database_url.get_secret_value())
    if settings.event_store_url is not None:
        await upgrade(settings.event_store_url.get_secret_value())
    return revision


@verb
def show_settings(as_json: Json = False) -> None:
    """Every setting: its value (secrets hidden), default and meaning."""
    settings = open_settings()
    rows = [_setting(name, field, getattr(settings, name)) for name, field in Settings.model_fields.items()]
    blocks = (
        f"{row['name']} = {_text(row['value'])}\n    {row['description']} Default: {_text(row['default'])}."
        for row in rows
    )
    emit({"settings": rows}, as_json=as_json, text="\n".join(blocks))


def _setting(name: str, field: FieldInfo, value: Any) -> dict[str, Any]:
    default = field.get_default(call_default_factory=True, validated_data={})
    return {
        "name": ENV_PREFIX + name.upper(),
        "value": _shown(value),
        "default": _shown(default, default=True),
        "description": field.description,
    }


def _shown(value: Any, *, default: bool = False) -> Any:
    """As it would be written into the environment; a secret is hidden, unless it is the public default."""
    match value:
        case SecretStr():
            return value.get_secret_value() if default else "********"
        case list():
            return ",".join(str(_shown(item, default=default)) for item in value)
        case _ if hasattr(value, "total_seconds"):
            return f"{value.total_seconds():g}"
        case _:
            return value


def _text(value: Any) -> str:
    return "(none)" if value in (None, "") else str(value)
