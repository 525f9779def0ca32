"""Thousands of generated calls against the running service: none breaks it, and each answer is as documented."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from app.runtime import Runtime
from app.settings import Settings
from tests.clients.service import Served, serve

CONFIG = Path(__file__).with_name("schemathesis.toml")
LIMIT = 540.0
CALLS = 5_000
EXAMPLES = 60
"""Per operation, besides the ones that cover the schemas' edges; enough for more than ``CALLS`` in all."""


async def run(served: Served, directory: Path) -> tuple[str, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", f"{served.url}/openapi.json"),
        *("--header", f"Authorization: Bearer {served.tenant.key}", "--checks", "all"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES), "--seed", "20261124"),
        *("--generation-database", "none", "--workers", "2", "--continue-on-failure"),
        # Those are about how long drawing examples takes, which says nothing about the service.
        *("--suppress-health-check", "all", "--report", "json", "--report-dir", str(directory), "--no-color"),
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), LIMIT)
    [report] = directory.glob("json-*.json")
    return out.decode(), json.loads(report.read_text())


async def test_every_answer_is_as_documented(settings: Settings, runtime: Runtime, tmp_path: Path) -> None:
    async with serve(settings, runtime, BATCH_EXPORTS_MAX_CONCURRENT_BACKFILLS="1000000") as served:
        said, report = await run(served, tmp_path)
    assert (report["failures"], report["errors"]) == ([], []), said
    assert report["complete"]
    assert report["test_cases"]["generated"] >= CALLS
    assert report["operations"]["tested"] == report["operations"]["total"]
