from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.embedded import Stack
from app.runtime import Runtime
from app.settings import Settings
from tests.faults.oracle import Oracle, open_oracle
from tests.worker.processes import Workers, workers_on


@pytest.fixture
def workers(settings: Settings, tmp_path: Path) -> Workers:
    return workers_on(settings, tmp_path / "workers")


@pytest.fixture
async def oracle(runtime: Runtime, stack: Stack) -> AsyncIterator[Oracle]:
    async with open_oracle(runtime, stack) as opened:
        yield opened
