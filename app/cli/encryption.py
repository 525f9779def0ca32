"""``encryption``: the keys of what is stored encrypted."""

import typer

from app.cli.output import Json, emit, fail, open_settings, run, verb
from app.crypto import Cipher
from app.db.engine import create_engine, create_sessions
from app.rotation import Rotated, rotate
from app.settings import Settings

app = typer.Typer(help="Keys of credentials at rest.", no_args_is_help=True)


@app.callback()
def _encryption() -> None:
    """Keeps ``rotate`` a verb of its own: a group with one command would swallow its name."""


@app.command("rotate")
@verb
def rotate_(as_json: Json = False) -> None:
    """Encrypt what is stored with the newest key.

    Put a new key before the others in BATCH_EXPORTS_ENCRYPTION_KEYS, restart the API and the workers, run this, and
    only then take the older keys away. The service may go on working; running it again does no harm.
    """
    settings = open_settings()
    result = run(_rotate(settings))
    unreadable = [{"table": table, "id": row_id} for table, row_id in result.unreadable]
    emit(
        {"rotated": result.rotated, "current": result.current, "unreadable": unreadable},
        as_json=as_json,
        text="\n".join(
            [
                f"{result.rotated:,} encrypted with the newest key, {result.current:,} were already",
                *(f"unreadable: {table} {row_id}" for table, row_id in result.unreadable),
            ]
        ),
    )
    if unreadable:
        fail(
            f"{len(unreadable)} stored documents cannot be decrypted: the key they were stored with is not in "
            "BATCH_EXPORTS_ENCRYPTION_KEYS. The others are done."
        )


async def _rotate(settings: Settings) -> Rotated:
    cipher = Cipher(settings.encryption_keys)
    engine = create_engine(settings, application_name="batch-exports cli")
    try:
        return await rotate(create_sessions(engine), cipher)
    finally:
        await engine.dispose()
