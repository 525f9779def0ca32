"""``runs``: what has been exported."""

from typing import Annotated
from uuid import UUID

import typer

from app.cli.output import Json, emit, fail, open_settings, run, verb
from app.errors import ApiError, SetupError
from app.runtime import open_runtime
from app.verification.compare import compare, load
from app.verification.schemas import VerificationRead

app = typer.Typer(help="Runs of exports.", no_args_is_help=True)


@app.command()
@verb
def verify(
    run_id: Annotated[UUID, typer.Argument(metavar="RUN_ID", help="The run's id.")],
    as_json: Json = False,
) -> None:
    """Compare what the event store holds for a run's interval with what its destination holds.

    The exit status is 1 on a difference.
    """

    async def read() -> VerificationRead:
        async with open_runtime(open_settings(), application_name="batch-exports runs verify") as runtime:
            subject = await load(runtime, run_id)
            if subject is None:
                raise SetupError(f"There is no run {run_id}.")
            try:
                return VerificationRead.of(subject, await compare(runtime, subject))
            except ApiError as error:
                raise SetupError(error.detail) from None

    found = run(read())
    emit(found.model_dump(mode="json"), as_json=as_json, text=_text(found))
    if not found.matches:
        fail(f"{len(found.differences)} differences; the first: {found.differences[0]}")


def _text(found: VerificationRead) -> str:
    source, held = found.source, found.destination
    # An export's own select list need not tell rows apart.
    of_source, of_held = (
        f"{found.identity}s {one.uuid_hash}" if found.identity else "counted" for one in (source, held)
    )
    lines = [
        f"event store   {source.rows:>12,} rows   {of_source}",
        f"destination   {held.rows:>12,} rows   {of_held}   {held.files} files, {held.bytes:,} bytes",
        *(found.differences or ["They are the same."]),
    ]
    return "\n".join(lines)
