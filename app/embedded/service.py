"""One embedded service: a child process that is started, watched and stopped."""

import asyncio
import ctypes
import os
import pwd
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import psutil

from app.embedded.state import LOOPBACK
from app.errors import SetupError

START_LIMIT = 60.0
"""Seconds a service may take until it answers; slow disks and cold starts included."""
STOP_LIMIT = 20.0
"""Seconds a service may take to stop by itself; after that it is killed."""
PR_SET_PDEATHSIG = 1


class Service(ABC):
    """A server on a port of the loopback address, keeping its state in a directory of its own."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.port = port
        self.log = directory.parent / f"{self.name}.log"
        self._process: asyncio.subprocess.Process | None = None

    @abstractmethod
    async def prepare(self) -> None:
        """Make the directory what the server expects."""

    @abstractmethod
    def command(self) -> Sequence[str]: ...

    @property
    @abstractmethod
    def pid_file(self) -> Path:
        """Where the server itself writes its process id, on the first line."""

    def user(self) -> pwd.struct_passwd | None:
        """Whom the server runs as; None for whoever we are."""
        return None

    async def answers(self) -> bool:
        """Whether somebody accepts connections on the port."""
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, self.port)
        except OSError:
            return False
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return True

    async def start(self) -> None:
        """Start, and return when the service answers.

        :raises SetupError: with the end of its log, when it does not.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        await self.prepare()
        user = self.user()
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                # A session of its own: Ctrl-C in the terminal reaches us alone, and we stop the services in order.
                start_new_session=True,
                preexec_fn=self._die_with_us,
                user=user.pw_uid if user is not None else None,
                group=user.pw_gid if user is not None else None,
                extra_groups=[] if user is not None else None,
            )
        try:
            async with asyncio.timeout(START_LIMIT):
                while not await self.answers():
                    if self._process.returncode is not None:
                        raise SetupError(f"{self.name} did not start: {self._last_words()}")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise SetupError(f"{self.name} did not answer in {START_LIMIT:.0f} s: {self._last_words()}") from None

    async def stop(self) -> None:
        """Stop it, also when somebody else has started it again meanwhile."""
        own = self._process
        if own is not None and own.returncode is None:
            own.send_signal(self.stop_signal)
            try:
                await asyncio.wait_for(own.wait(), STOP_LIMIT)
            except TimeoutError:
                own.kill()
                await own.wait()
        if (pid := self.pid) is not None and (own is None or pid != own.pid):
            await asyncio.to_thread(_stop_stranger, pid, self.stop_signal)

    @property
    def pid(self) -> int | None:
        """Of whoever serves now, by the server's own account."""
        try:
            return int(self.pid_file.read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def _die_with_us(self) -> None:
        """In the child: should we be killed without a chance to stop it, it stops by itself. Linux only."""
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, self.stop_signal)

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it said nothing; see {self.log}"


def _stop_stranger(pid: int, stop_signal: signal.Signals) -> None:
    """Stop a server that somebody else has started on our directory."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.send_signal(stop_signal)
        try:
            process.wait(STOP_LIMIT)
        except psutil.TimeoutExpired:
            process.kill()


def is_root() -> bool:
    return os.geteuid() == 0
