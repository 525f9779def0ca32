"""An S3 server: moto in a process of its own, its objects mirrored to disk."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from app.embedded.service import Service
from app.embedded.state import LOOPBACK

BUCKET = "exports"
REGION = "us-east-1"


class S3Server(Service):
    name: ClassVar[str] = "s3"

    def __init__(self, directory: Path, port: int, access_key_id: str, secret_access_key: str) -> None:
        super().__init__(directory, port)
        self._access_key_id = access_key_id
        self._secret_access_key = secret_access_key

    @property
    def config(self) -> dict[str, Any]:
        """What an S3 destination needs, under the names its config has."""
        return {
            "endpoint_url": f"http://{LOOPBACK}:{self.port}",
            "bucket_name": BUCKET,
            "region": REGION,
            "aws_access_key_id": self._access_key_id,
            "aws_secret_access_key": self._secret_access_key,
        }

    @property
    def pid_file(self) -> Path:
        return self.directory / "s3.pid"

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "app.embedded.s3_server", str(self.directory.resolve()), str(self.port)]

    async def prepare(self) -> None:
        # By file, for a command line is everybody's to read.
        key_file = self.directory / "access_key_id"
        key_file.touch(mode=0o600)
        key_file.write_text(self._access_key_id)
