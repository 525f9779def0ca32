"""S3rver, an S3 server of other people's making: one per test process, started when it is first asked for.

It knows no conditional requests and does as if there were none; it can neither abort uploads nor list them; and it
reads of a signature whose it is, no more.
"""

import atexit
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

from app.embedded.state import LOOPBACK
from app.embedded.tether import tethered
from tests.destinations.harness import S3Harness

PACKAGE: Final = Path(__file__).parent
FILES: Final = ("package.json", "package-lock.json", ".npmrc", "server.js")
BUCKET: Final = "exports"
INSTALL_LIMIT: Final = 300.0


@dataclass(frozen=True)
class S3rver:
    """A running server, with one bucket."""

    port: int
    directory: Path

    @property
    def s3(self) -> dict[str, Any]:
        """As a stack says it of its own. Name and secret of the one account are the package's."""
        keys = {"aws_access_key_id": "S3RVER", "aws_secret_access_key": "S3RVER"}
        return {"endpoint_url": f"http://{LOOPBACK}:{self.port}", "bucket_name": BUCKET, "region": "us-east-1", **keys}

    def uploads(self) -> dict[str, str]:
        """Unfinished ones that nobody has asked it to abort: their keys by their ids."""
        aborts = self.directory / "aborts"
        asked = aborts.read_text().split() if aborts.exists() else []
        found = (self.directory / BUCKET).glob("._S3rver_uploads/*/key")
        return {file.parent.name: file.read_text() for file in found if file.parent.name not in asked}


class S3rverHarness(S3Harness):
    def __init__(self) -> None:
        self.server = running()
        self._name = "S3Compatible"
        self._s3 = self.server.s3
        self.prefix = f"test-{uuid4().hex}"

    async def unfinished(self) -> list[str]:
        return [key for key in self.server.uploads().values() if key.startswith(self.prefix)]


@cache
def running() -> S3rver:
    """The server of this process. It ends with it, however that ends."""
    # As for other servers in Node.js: on a newcomer's machine the rest of the tests is worth running without.
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        if os.environ.get("CI"):
            raise RuntimeError("Node.js with npm is not installed")
        pytest.skip("Node.js with npm is not installed")
    directory = tempfile.TemporaryDirectory(prefix="batch-exports-s3rver-")
    process = subprocess.Popen(
        tethered([node, "server.js", directory.name, BUCKET]), cwd=_installed(), stdout=subprocess.PIPE, text=True
    )
    atexit.register(_stop, process, directory)
    assert process.stdout is not None
    return S3rver(int(process.stdout.readline()), Path(directory.name))


def _stop(process: "subprocess.Popen[str]", directory: "tempfile.TemporaryDirectory[str]") -> None:
    process.terminate()
    process.communicate()
    directory.cleanup()


def _installed() -> Path:
    """Where the version of the lock file is, installed once per machine: other test processes wait for the first."""
    contents = b"".join((PACKAGE / name).read_bytes() for name in FILES)
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = cache_home / "batch-exports-tests" / f"s3rver-{hashlib.sha256(contents).hexdigest()[:16]}"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (directory / "complete").exists():
            for name in FILES:
                shutil.copy(PACKAGE / name, directory)
            subprocess.run(
                ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline"],
                cwd=directory,
                check=True,
                timeout=INSTALL_LIMIT,
            )
            (directory / "complete").touch()
    return directory
