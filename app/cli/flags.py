"""``flags``: what a project may use."""

from enum import StrEnum
from typing import Annotated

import typer

from app.cli.output import Json, emit, run, verb
from app.cli.tenants import open_session
from app.tenants.flags import Flag, is_on
from app.tenants.service import flags_of, set_flag

app = typer.Typer(help="Feature flags of projects.", no_args_is_help=True)

ProjectId = Annotated[int, typer.Option("--project", min=1, max=2**31 - 1, help="The project's id.", metavar="ID")]


class State(StrEnum):
    ON = "on"
    OFF = "off"


@app.command("set")
@verb
def set_(
    flag: Annotated[Flag, typer.Argument(metavar="FLAG", help=f"One of {', '.join(Flag)}.")],
    state: Annotated[State, typer.Argument(metavar="on|off")],
    project: ProjectId,
    as_json: Json = False,
) -> None:
    """Switch a flag on or off. The next request heeds it."""

    async def write() -> dict[str, bool]:
        async with open_session() as session:
            return await set_flag(session, project, flag, on=state is State.ON)

    on = is_on(run(write()), flag)
    text = f"{flag} is {'on' if on else 'off'} in project {project}"
    if on is not (state is State.ON):
        text += "; this service cannot do what it stands for"
    emit({"project_id": project, "flag": flag, "on": on}, as_json=as_json, text=text)


@app.command("list")
@verb
def list_(project: ProjectId, as_json: Json = False) -> None:
    """Every flag, and whether it is on."""

    async def read() -> dict[str, bool]:
        async with open_session() as session:
            return await flags_of(session, project)

    stored = run(read())
    flags = {flag.value: is_on(stored, flag) for flag in Flag}
    text = "\n".join(f"{'on ' if on else 'off'}  {name}" for name, on in flags.items())
    emit({"project_id": project, "flags": flags}, as_json=as_json, text=text)
