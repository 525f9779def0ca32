"""``notifications``: who is told when a run fails, an export is paused, or one is late."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import typer

from app.cli.flags import ProjectId
from app.cli.output import Json, emit, fail, open_settings, run, verb
from app.errors import ApiError, SetupError
from app.http.body import Draft
from app.notifications.schemas import ChannelsRead, ChannelsWrite
from app.notifications.service import NotificationService
from app.runtime import open_runtime
from app.tenants.repository import TenantRepository
from app.unit import Unit

app = typer.Typer(help="Who is told when a run fails, an export is paused, or one is late.", no_args_is_help=True)


@asynccontextmanager
async def _open_service(project_id: int) -> AsyncIterator[NotificationService]:
    """In one transaction, committed at the end.

    :raises SetupError: when there is no such project, or a rule of the API is broken.
    """
    async with (
        open_runtime(open_settings(), application_name="batch-exports cli") as runtime,
        runtime.sessions.begin() as session,
    ):
        if await TenantRepository(session).project(project_id) is None:
            raise SetupError(f"There is no project {project_id}.")
        try:
            yield NotificationService(Unit(session, runtime), project_id)
        except ApiError as error:
            raise SetupError(error.detail) from None


@app.command("set")
@verb
def set_(
    project: ProjectId,
    webhook_url: Annotated[str | None, typer.Option(help="Where messages are posted to, signed.")] = None,
    email: Annotated[list[str] | None, typer.Option(help="Who gets e-mails; may be repeated.")] = None,
    rotate_secret: Annotated[bool, typer.Option(help="Make another secret for the webhook.")] = False,
    as_json: Json = False,
) -> None:
    """Say where notifications go; what is not given is switched off. A new secret is shown this once."""

    async def write() -> ChannelsRead:
        async with _open_service(project) as service:
            body = {"webhook_url": webhook_url, "emails": email or []}
            channels = await service.replace(Draft(ChannelsWrite, json.dumps(body).encode()))
            if rotate_secret and channels.webhook_secret is None:
                secret = await service.rotate_secret()
                channels = (await service.channels()).model_copy(update={"webhook_secret": secret})
            return channels

    _emit(project, run(write()), as_json=as_json)


@app.command("show")
@verb
def show(project: ProjectId, as_json: Json = False) -> None:
    """Where notifications go."""

    async def read() -> ChannelsRead:
        async with _open_service(project) as service:
            return await service.channels()

    _emit(project, run(read()), as_json=as_json)


@app.command("test")
@verb
def send_test(project: ProjectId, as_json: Json = False) -> None:
    """Send a test message by every channel. Fails when one of them does not work."""

    async def send() -> list[dict[str, Any]]:
        async with _open_service(project) as service:
            return [attempt.model_dump(mode="json") for attempt in await service.test()]

    attempts = run(send())
    wrong = [f"{one['recipient'] or one['channel']}: {one['message']}" for one in attempts if not one["delivered"]]
    if wrong:
        fail(" ".join(wrong))
    lines = [f"sent to {one['recipient'] or one['channel']}" for one in attempts]
    text = "\n".join(lines) or f"project {project} has no channels; `batch-exports notifications set` makes some"
    emit({"project_id": project, "results": attempts}, as_json=as_json, text=text)


def _emit(project: int, channels: ChannelsRead, *, as_json: bool) -> None:
    document = channels.model_dump(mode="json")
    lines = [f"webhook  {channels.webhook_url or '(none)'}"]
    if channels.webhook_secret is not None:
        lines.append(f"secret   {channels.webhook_secret}  (it is not shown again)")
    elif channels.webhook_secret_hint is not None:
        lines.append(f"secret   {channels.webhook_secret_hint}")
    lines += [f"e-mail   {email}" for email in channels.emails]
    if channels.emails and not channels.email_available:
        lines.append("this service sends no e-mail: BATCH_EXPORTS_SMTP_URL is not set")
    emit({"project_id": project, **document}, as_json=as_json, text="\n".join(lines))
