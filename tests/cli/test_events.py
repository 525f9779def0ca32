"""``events load``, as scripts use it."""

import gzip
import json
from pathlib import Path
from uuid import uuid4

import pytest

from app.clocks import utc_now
from app.runtime import Runtime
from app.settings import Settings
from tests.cli.commands import environment, run
from tests.factories import add_event, make_export, make_project, utc


@pytest.fixture
def env(settings: Settings) -> dict[str, str]:
    return environment(settings)


@pytest.fixture
async def project_id(runtime: Runtime) -> int:
    async with runtime.sessions.begin() as session:
        project = await make_project(session)
    return project.id


def lines(count: int) -> bytes:
    events = ({"uuid": str(uuid4()), "event": "e", "distinct_id": "d"} for _ in range(count))
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


async def test_a_file_is_loaded_into_the_only_project(env: dict[str, str], project_id: int, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(gzip.compress(lines(3) + b"{oops\n"))
    done = await run(env, "events", "load", str(path), "--json")
    rejected = f"{path}.rejected.jsonl"
    assert done.document == {
        "project_id": project_id,
        "lines": 4,
        "stored": 3,
        "duplicates": 0,
        "sanitised": 0,
        "rejected": 1,
        "rejected_file": rejected,
    }
    assert json.loads(Path(rejected).read_text())["line"] == 4
    again = (await run(env, "events", "load", str(path), "--project", str(project_id), "--json")).document
    assert (again["stored"], again["duplicates"], again["rejected"]) == (0, 3, 1)


async def test_standard_input_is_loaded_and_a_mended_file_leaves_no_rejections(
    env: dict[str, str], project_id: int, tmp_path: Path
) -> None:
    first = await run(env, "events", "load", "-", "--json", stdin=lines(2) + b"?\n", cwd=tmp_path)
    assert (first.document["stored"], first.document["rejected_file"]) == (2, "stdin.rejected.jsonl")
    assert (tmp_path / "stdin.rejected.jsonl").exists()
    second = await run(env, "events", "load", "-", "--json", stdin=lines(2), cwd=tmp_path)
    assert (second.document["stored"], second.document["rejected_file"]) == (2, None)
    assert not (tmp_path / "stdin.rejected.jsonl").exists()


async def test_people_read_a_sentence(env: dict[str, str], project_id: int, tmp_path: Path) -> None:
    done = await run(env, "events", "load", "-", stdin=lines(2), cwd=tmp_path)
    assert done.out == f"2 events stored in project {project_id}, 0 were there already\n"


async def test_what_keeps_it_from_loading_is_one_line(
    env: dict[str, str], runtime: Runtime, project_id: int, tmp_path: Path
) -> None:
    assert "There is no project 999" in (await run(env, "events", "load", "-", "--project", "999")).reason
    assert "cannot be read" in (await run(env, "events", "load", str(tmp_path / "missing.jsonl"))).reason
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(lines(1000))[:-50])
    assert "cannot be read beyond line" in (await run(env, "events", "load", str(cut))).reason
    async with runtime.sessions.begin() as session:
        other = await make_project(session)
    reason = (await run(env, "events", "load", "-", stdin=lines(1))).reason
    assert f"Say which project with --project; there are {project_id}, {other.id}." in reason


async def test_rejections_that_cannot_be_written_are_not_the_databases_fault(
    env: dict[str, str], project_id: int, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(lines(1))
    in_the_way = tmp_path / "events.jsonl.rejected.jsonl"
    in_the_way.mkdir()
    reason = (await run(env, "events", "load", str(path))).reason
    assert reason.startswith(f"batch-exports: {in_the_way}: ")
    assert "database" not in reason


async def add_old_event(runtime: Runtime, project_id: int) -> None:
    async with runtime.sessions.begin() as session:
        await add_event(session, project_id, utc(2020, 1, 1))
        await add_event(session, project_id, utc_now())


async def test_old_events_are_pruned(env: dict[str, str], runtime: Runtime, project_id: int) -> None:
    await add_old_event(runtime, project_id)
    done = (await run(env, "events", "prune", "--older-than", "30", "--json")).document
    assert (done["events"], done["held_back"]) == (1, False)
    kept_for = {**env, "BATCH_EXPORTS_EVENT_RETENTION": "P30D"}
    again = await run(kept_for, "events", "prune")
    assert again.out.startswith("0 events that came in before 20")


async def test_what_is_yet_to_be_exported_is_not_pruned(env: dict[str, str], runtime: Runtime, project_id: int) -> None:
    await add_old_event(runtime, project_id)
    async with runtime.sessions.begin() as session:
        await make_export(session, runtime.cipher, next_start=utc(2019, 12, 31))
    done = await run(env, "events", "prune", "--older-than", "30")
    assert "0 events that came in before 2019-12-31 00:00 UTC deleted" in done.out
    assert "stays until it has been exported" in done.out


async def test_how_much_to_keep_must_be_said(env: dict[str, str], project_id: int) -> None:
    reason = (await run(env, "events", "prune")).reason
    assert reason == (
        "batch-exports: Say how many days to keep with --older-than, or set BATCH_EXPORTS_EVENT_RETENTION."
    )
