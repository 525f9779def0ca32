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
PORTS = range(20000, 32768)
"""Below those that systems give to outgoing connections: one of these must not take a service's port before the service
does, nor while the stack is down."""


class State:
    """Values that outlive a process: ports, passwords, ids. Kept in ``stack.json``, for its owner's eyes only.

    :raises SetupError: when there is a file, but not one that can be read.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._path = directory / "stack.json"
        self._reservations: dict[int, socket.socket] = {}
        try:
            self._values: dict[str, Any] = json.loads(self._path.read_text()) if self._path.exists() else {}
        except (OSError, ValueError) as error:
            raise SetupError(f"{self._path} cannot be read ({type(error).__name__}); is it from here?") from None

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
        if remembered is None or not self._reserve(remembered):
            self.set(f"{name}_port", self._free_port())
        return int(self.get(f"{name}_port"))

    def close(self) -> None:
        """Give the ports up."""
        for reservation in self._reservations.values():
            reservation.close()
        self._reservations.clear()

    def _free_port(self) -> int:
        while (port := free_port()) in self._reservations or not self._reserve(port):
            pass
        return port

    def _reserve(self, port: int) -> bool:
        """Keep other stacks, which may start at this very moment, off a port until its service is on it.

        By the UDP port of the same number, which no service uses, and which is free again whatever becomes of us.
        """
        if port in self._reservations:
            return True
        if not is_free(port):
            return False
        reservation = socket.socket(type=socket.SOCK_DGRAM)
        try:
            reservation.bind((LOOPBACK, port))
        except OSError:
            reservation.close()
            return False
        self._reservations[port] = reservation
        return True


def free_port() -> int:
    for _ in range(1000):
        if is_free(port := secrets.choice(PORTS)):
            return port
    raise SetupError("There is no free port on this machine.")


def is_free(port: int) -> bool:
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
