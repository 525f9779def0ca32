import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def place() -> Iterator[Path]:
    """For stacks. Not below pytest's own, which the next session closes to other users; root's Postgres runs as one."""
    with tempfile.TemporaryDirectory(prefix="batch-exports-tests-") as directory:
        yield Path(directory)


@pytest.fixture
def data_dir(place: Path) -> Path:
    return place / "stack"
