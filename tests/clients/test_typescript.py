"""A TypeScript client, generated from the service's document by a generator others use, type-checked and used."""

import asyncio
import json
import os
import shutil
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.runtime import Runtime
from tests.clients.service import serve

PROJECT = Path(__file__).parent / "typescript"
LIMIT = 180.0
NEEDED = ("node", "npm")

# A machine of ours has them; on a newcomer's the rest of the tests is worth running without.
needs_node = pytest.mark.skipif(
    not os.environ.get("CI") and any(shutil.which(name) is None for name in NEEDED),
    reason="Node.js with npm is not installed",
)


async def run(directory: Path, *command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=directory, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), LIMIT)
    assert process.returncode == 0, f"{command}: {out.decode()}{err.decode()}"
    return out.decode()


@needs_node
async def test_a_generated_client_compiles_and_works(app: FastAPI, runtime: Runtime, tmp_path: Path) -> None:
    directory = tmp_path / "typescript"
    shutil.copytree(PROJECT, directory, ignore=shutil.ignore_patterns("node_modules"))
    await run(directory, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
    async with serve(app, runtime) as served:
        async with httpx.AsyncClient() as client:
            document = await client.get(f"{served.url}/openapi.json")
        (directory / "openapi.json").write_bytes(document.content)
        await run(directory, "npm", "run", "generate")
        await run(directory, "npm", "run", "build")
        arguments = (served.url, served.tenant.key, str(served.tenant.project_id))
        seen = json.loads(await run(directory, "node", "built/journey.js", *arguments))
    assert seen == {
        "team_id": served.tenant.project_id,
        "config": {
            "bucket_name": "exports",
            "region": "us-east-1",
            "prefix": "typescript/{year}",
            "file_format": "Parquet",
            "compression": "zstd",
            "legacy_parquet_extension": False,
        },
        "count": 1,
        "names": ["From TypeScript"],
        "paused": True,
        "unpaused": False,
        "patched": ["Renamed", "day"],
        "retrieved": 0,
        "backfills": [True],
        "cancelled": True,
        "runs": 0,
        "refusal": {
            "type": "validation_error",
            "code": "invalid_input",
            "detail": "offset_day is not applicable for non-weekly intervals",
            "attr": "offset_day",
        },
        "deleted": 204,
        "gone": 404,
    }
