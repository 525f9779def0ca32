"""What a data directory remembers, and the lock that keeps a second stack out of it."""

import fcntl
import json
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.errors import SetupError

LOOPBACK = "127.0.0.1"


class State:
    """Values that outlive a process: ports, passwords, ids. Kept in ``stack.json``, for its owner's eyes only."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._path = directory / "stack.json"
        self._values: dict[str, Any] = json.loads(self._path.read_text()) if self._path.exists() else {}

    def remember(self, name: str, make: Callable[[], Any]) -> Any:
        """The value kept under ``name``; made and kept if there is none."""
        if name not in self._values:
            self.set(name, make())
        return self._values[name]

    def set(self, name: str, value: Any) -> None:
        self._values[name] = value
        draft = self._path.with_suffix(".draft")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(self._values, file, indent=2)
        draft.replace(self._path)

    def get(self, name: str) -> Any:
        return self._values.get(name)

    def secret(self, name: str) -> str:
        """A random text, the same at every start."""
        return str(self.remember(name, lambda: secrets.token_hex(16)))

    def port(self, name: str) -> int:
        """The port a service had last time, or a free one if it has none yet or somebody else is on it now."""
        remembered = self.get(f"{name}_port")
        if remembered is None or not _is_free(remembered):
            self.set(f"{name}_port", free_port())
        return int(self.get(f"{name}_port"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port is free although connections of its last owner have not timed out.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the directory for this process.

    :raises SetupError: when another process holds it, or it cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = open(directory / "lock", "a+")  # noqa: SIM115  held open for as long as the lock is
    except OSError as error:
        raise SetupError(f"The data directory {directory} cannot be used: {error.strerror}.") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise SetupError(
                f"The data directory {directory} is in use by process {holder}; stop that one, or choose another "
                "directory with --data-dir."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
        file.truncate(0)
