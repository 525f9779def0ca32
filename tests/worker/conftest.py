from pathlib import Path

import pytest

from app.settings import Settings
from tests.worker.processes import Workers, workers_on


@pytest.fixture
def workers(settings: Settings, tmp_path: Path) -> Workers:
    return workers_on(settings, tmp_path / "workers")
