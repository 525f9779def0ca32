"""``demo``: the main job, start to end, for a newcomer to watch."""

import json
import tempfile
from pathlib import Path

import typer

from app.cli.output import Json, emit, errors, fail, run_until_interrupted, verb
from app.cli.stack import need_embedded


def register(app: typer.Typer) -> None:
    app.command()(demo)


@verb
def demo(
    events: int = typer.Option(20_000, min=1, max=10_000_000, help="How many sample events to make and export."),
    as_json: Json = False,
) -> None:
    """The main job on the embedded stack: load events, create an export over HTTP, watch them land in a bucket."""
    need_embedded()
    from app.cli.journey import Journey

    with tempfile.TemporaryDirectory(prefix="batch-exports-demo-") as directory:
        landed = run_until_interrupted(Journey(Path(directory), events, errors).run())
    if landed is None:
        raise typer.Exit(130)
    emit(landed.document, as_json=as_json, text=_text(landed.first_rows))
    if landed.rows != events:
        fail(f"{landed.rows} of {events} events landed.")


def _text(first_rows: list[dict[str, object]]) -> str:
    rows = "\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in first_rows)
    return (
        f"The first rows:\n{rows}\n\n"
        "Now with your own hands: `.venv/bin/batch-exports dev` starts the same service and keeps it;\n"
        "open the address it prints with /docs behind it, press Authorize, paste the key, and try every route."
    )
