"""``events load``: files of events into the event store. ``events prune``: what it need not keep out of it."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from app.cli.output import Json, emit, errors, fail, open_settings, run, verb
from app.cli.tenants import open_session
from app.clocks import utc_now
from app.errors import SetupError
from app.events.files import LineFile, open_lines
from app.events.load import Loaded, Rejections, load_lines, rejections_path
from app.events.retention import Pruned
from app.events.store import open_writer
from app.runtime import open_runtime
from app.scheduling.pruning import Horizon, prune_store
from app.tenants.repository import TenantRepository

app = typer.Typer(help="The event store.", no_args_is_help=True)


@app.command("load")
@verb
def load(
    file: Annotated[str, typer.Argument(help="JSON Lines: plain, gzip or Zstandard; - is standard input.")],
    project: Annotated[
        int | None, typer.Option(help="The project the events belong to; may be left out when there is only one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Load events in bulk.

    One event per line with `event`, `distinct_id` and, if wanted, `uuid`, `timestamp` (ISO 8601) and `properties`. An
    event whose uuid the project has already is stored once. Lines that are no event go to FILE.rejected.jsonl.
    """
    project_id, loaded, rejected_file = run(_load(file, project))
    document = {
        "project_id": project_id,
        "lines": loaded.lines,
        "stored": loaded.stored,
        "duplicates": loaded.duplicates,
        "sanitised": loaded.sanitised,
        "rejected": loaded.rejected,
        "rejected_file": rejected_file,
    }
    text = f"{loaded.stored:,} events stored in project {project_id}, {loaded.duplicates:,} were there already"
    if loaded.sanitised:
        text += f", {loaded.sanitised:,} had NULs or lone surrogates removed"
    if loaded.rejected:
        text += f", {loaded.rejected:,} lines rejected: see {rejected_file}"
    emit(document, as_json=as_json, text=text)


@app.command("prune")
@verb
def prune(
    older_than: Annotated[
        float | None,
        typer.Option(
            min=1, metavar="DAYS", help="Days since they came in; what BATCH_EXPORTS_EVENT_RETENTION says if left out."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Delete what came into the event store long ago.

    Events, versions of persons that newer ones have replaced, and what was refused at intake. Nothing goes that a
    schedule, a run or a backfill is yet to export. Intake and exports go on meanwhile.
    """
    until, pruned = run(_prune(older_than))
    if pruned is None:
        fail("Another process is pruning the event store already; there is nothing to do.")
    held_back = until.wanted if until.held_back else None
    document = {**asdict(pruned), "pruned_before": until.before.isoformat()}
    text = (
        f"{pruned.events:,} events that came in before {until.before:%Y-%m-%d %H:%M} UTC deleted, and "
        f"{pruned.person_versions + pruned.distinct_id_versions:,} old versions of persons"
    )
    if held_back is not None:
        text += f"; what came in up to {held_back:%Y-%m-%d %H:%M} stays until it has been exported"
    emit({**document, "held_back": held_back is not None}, as_json=as_json, text=text)


async def _prune(days: float | None) -> tuple[Horizon, Pruned | None]:
    settings = open_settings()
    retention = timedelta(days=days) if days is not None else settings.event_retention
    if retention is None:
        raise SetupError("Say how many days to keep with --older-than, or set BATCH_EXPORTS_EVENT_RETENTION.")
    with errors.status("pruning") as status:
        async with open_runtime(settings, application_name="batch-exports prune") as runtime:
            return await prune_store(
                runtime, retention, lambda pruned: status.update(f"pruning: {pruned.events:,} events deleted")
            )


async def _load(file: str, project: int | None) -> tuple[int, Loaded, str | None]:
    settings = open_settings()
    project_id = await _project(project)
    rejections = Rejections(rejections_path(file))
    with open_lines(file) as source, progress_bar() as bar:
        task = bar.add_task("loading events", total=source.size)
        timeout = settings.database_connect_timeout.total_seconds()
        async with open_writer(settings.event_store_dsn, connect_timeout=timeout) as writer:
            loaded = await load_lines(
                source, writer, project_id, utc_now(), rejections, lambda _: _show(bar, task, source)
            )
    return project_id, loaded, str(rejections.path) if loaded.rejected else None


async def _project(wanted: int | None) -> int:
    async with open_session() as session:
        tenants = TenantRepository(session)
        if wanted is not None:
            if await tenants.project(wanted) is None:
                raise SetupError(f"There is no project {wanted}.")
            return wanted
        existing = [project.id for project in await tenants.projects()]
    if len(existing) != 1:
        raise SetupError(
            f"Say which project with --project; there are {', '.join(map(str, existing))}."
            if existing
            else "There is no project yet; make one with `batch-exports projects create`."
        )
    return existing[0]


def progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )


def _show(bar: Progress, task: object, source: LineFile) -> None:
    bar.update(task, completed=source.position)  # type: ignore[arg-type]
