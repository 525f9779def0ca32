"""Thousands of generated calls against the running service: none breaks it, and each answer is as documented.

The tool's phase ``coverage``, which tries every edge of every schema, makes some 25,000 calls more and takes minutes:
it is for changes of schemas, by hand.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.intake.service import open_intake
from app.main import create_app
from app.runtime import Runtime
from app.settings import Settings
from tests.clients.service import Served, only_this_machine, serve

__all__ = ["only_this_machine"]

CONFIG = Path(__file__).with_name("schemathesis.toml")
LIMIT = 540.0
PROJECTS = "^/api/projects/"
HALVES = {
    "projects": (2_000, ("--include-path-regex", PROJECTS)),
    "all else": (3_000, ("--exclude-path-regex", PROJECTS)),
}
"""Of the operations, each with how many calls there are to be at the least."""


async def run(served: Served, directory: Path, half: Sequence[str]) -> tuple[str, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", f"{served.url}/openapi.json"),
        *half,
        *("--header", f"Authorization: Bearer {served.tenant.key}", "--checks", "all"),
        *("--phases", "examples,fuzzing", "--seed", "20261124"),
        *("--generation-database", "none", "--workers", "1", "--continue-on-failure"),
        # Those are about how long drawing examples takes, which says nothing about the service.
        *("--suppress-health-check", "all", "--report", "json", "--report-dir", str(directory), "--no-color"),
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), LIMIT)
    [report] = directory.glob("json-*.json")
    return out.decode(), json.loads(report.read_text())


@pytest.mark.first
@pytest.mark.usefixtures("only_this_machine")
@pytest.mark.parametrize(("calls", "half"), HALVES.values(), ids=HALVES)
async def test_every_answer_is_as_documented(
    settings: Settings, runtime: Runtime, tmp_path: Path, calls: int, half: Sequence[str]
) -> None:
    # Generated calls start more backfills than anybody may have; the limit has tests of its own.
    unlimited = replace(runtime, settings=settings.model_copy(update={"max_concurrent_backfills": 1_000_000}))
    app = create_app(settings)
    app.state.runtime = unlimited
    async with open_intake(unlimited) as app.state.intake, serve(app, runtime) as served:
        said, report = await run(served, tmp_path, half)
    assert (report["failures"], report["errors"]) == ([], []), said
    assert report["complete"]
    assert report["test_cases"]["generated"] >= calls, report["test_cases"]
    assert report["operations"]["tested"] == report["operations"]["selected"]
