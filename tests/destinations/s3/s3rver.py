"""S3rver, an S3 server of other people's making: one per test process, started when it is first asked for.

It knows no conditional requests and does as if there were none; it can neither abort uploads nor list them; and it
reads of a signature whose it is, no more.
"""

import atexit
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from app.embedded.state import LOOPBACK
from app.embedded.tether import tethered
from tests.destinations.harness import S3Harness
from tests.npm import installed, node

PACKAGE: Final = Path(__file__).parent
BUCKET: Final = "exports"


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
    directory = tempfile.TemporaryDirectory(prefix="batch-exports-s3rver-")
    command = tethered([node(), "server.js", directory.name, BUCKET])
    process = subprocess.Popen(
        command, cwd=installed(PACKAGE, "s3rver", ["server.js"]), stdout=subprocess.PIPE, text=True
    )
    atexit.register(_stop, process, directory)
    assert process.stdout is not None
    return S3rver(int(process.stdout.readline()), Path(directory.name))


def _stop(process: "subprocess.Popen[str]", directory: "tempfile.TemporaryDirectory[str]") -> None:
    process.terminate()
    process.communicate()
    directory.cleanup()
