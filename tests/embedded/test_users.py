"""The embedded stack of an ordinary user, and of root after him."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.embedded import open_stack
from app.embedded.service import is_root
from tests.embedded.stacks import gone, stack_process


@dataclass(frozen=True)
class OrdinaryUser:
    """How an ordinary user runs Python, and where."""

    python: str
    directory: Path
    options: dict[str, Any]


@pytest.fixture
def ordinary_user() -> Iterator[OrdinaryUser]:
    if not is_root():
        pytest.skip("only root may become another user; all the other tests have just run as an ordinary one")
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory(prefix="batch exports ") as directory:
        os.chown(directory, nobody.pw_uid, nobody.pw_gid)
        # The system's Python may be older than this one, and then a package may ask for what newer ones contain.
        (Path(directory) / "stand-ins").mkdir()
        (Path(directory) / "stand-ins" / "async_timeout.py").write_text("from asyncio import timeout\n")
        path = [*filter(None, sys.path), f"{directory}/stand-ins"]
        options: dict[str, Any] = {
            "user": nobody.pw_uid,
            "group": nobody.pw_gid,
            "extra_groups": [],
            "cwd": directory,
            "env": {"HOME": directory, "PATH": os.defpath, "PYTHONPATH": os.pathsep.join(path)},
        }
        # Root's own Python may lie where nobody else can reach it; then the system's will do, if it is the same one.
        for python in (sys.executable, shutil.which(f"python3.{sys.version_info.minor}", path=os.defpath)):
            with suppress(OSError):
                probe = [python or "", "-c", "import app.embedded, pydantic_core, asyncpg.protocol"]
                if subprocess.run(probe, **options, capture_output=True).returncode == 0:
                    yield OrdinaryUser(python or "", Path(directory), options)
                    return
    pytest.skip("an ordinary user can reach no Python of this version, or not this project")


async def test_an_ordinary_user_has_a_stack_of_his_own(ordinary_user: OrdinaryUser) -> None:
    data_dir = ordinary_user.directory / "data"
    async with stack_process(data_dir, ordinary_user.python, **ordinary_user.options) as running:
        assert {process.uids().effective for process in running.family()} == {ordinary_user.options["user"]}
        family = running.family()
        await running.stop(signal.SIGINT)
        await gone(family)
        assert running.process.returncode == 0
    # And root may go on with it.
    async with open_stack(data_dir) as stack:
        assert stack.env == running.document["env"]


def test_a_directory_that_cannot_be_written_is_named(ordinary_user: OrdinaryUser, place: Path) -> None:
    ordinary_user.directory.chmod(0o500)
    program = (
        "import asyncio, sys; from pathlib import Path; from app.embedded import open_stack; "
        "asyncio.run(open_stack(Path(sys.argv[1])).__aenter__())"
    )
    data_dir = ordinary_user.directory / "data"
    result = subprocess.run(
        [ordinary_user.python, "-c", program, str(data_dir)], **ordinary_user.options, capture_output=True, text=True
    )
    assert f"SetupError: The data directory {data_dir} cannot be used: Permission denied" in result.stderr
