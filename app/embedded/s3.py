"""An S3 server: moto in a process of its own, its objects mirrored to disk."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
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
        return [sys.executable, "-m", "app.embedded.s3_server", str(self.directory), str(self.port)]

    async def prepare(self) -> None:
        # By file, for a command line is everybody's to read.
        key_file = self.directory / "access_key_id"
        key_file.touch(mode=0o600)
        key_file.write_text(self._access_key_id)

    async def ask(self) -> bool:
        """Whether it shows its bucket to whoever has our key."""
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        try:
            credential = f"Credential={self._access_key_id}/20260101/{REGION}/s3/aws4_request"
            request = (
                f"HEAD /{BUCKET} HTTP/1.1",
                f"Host: {LOOPBACK}",
                f"Authorization: AWS4-HMAC-SHA256 {credential}",
                "Connection: close",
            )
            writer.write("\r\n".join((*request, "", "")).encode())
            return b" 200 " in await reader.readline()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
