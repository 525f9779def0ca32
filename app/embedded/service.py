"""One embedded service: a child process that is started, watched and stopped."""

import asyncio
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import psutil

from app.embedded.state import LOOPBACK
from app.embedded.tether import tethered
from app.errors import SetupError

START_LIMIT = 60.0
"""Seconds a service may take until it answers; slow disks and cold starts included."""
STOP_LIMIT = 20.0
"""Seconds a service may take to stop by itself; after that it is killed."""
ANSWER_LIMIT = 5.0
"""Seconds after which a service that accepts a connection, but says nothing, does not answer."""


class Service(ABC):
    """A server on a port of the loopback address, keeping its state in a directory of its own."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.port = port
        self.log = directory.parent / f"{self.name}.log"
        self._process: asyncio.subprocess.Process | None = None
        self._logged_before = 0

    @abstractmethod
    async def prepare(self) -> None:
        """Make the directory what the server expects."""

    @abstractmethod
    def command(self) -> Sequence[str]: ...

    @property
    @abstractmethod
    def pid_file(self) -> Path:
        """Where the server itself writes its process id, on the first line."""

    def user(self) -> tuple[int, int] | None:
        """The user and group the server runs as; None for whoever we are."""
        return None

    async def ask(self) -> bool:
        """Whether the server does what it is there for. May raise OSError, and may take for ever."""
        _, writer = await asyncio.open_connection(LOOPBACK, self.port)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return True

    async def answers(self) -> bool:
        """Whether the server does what it is there for, within a few seconds."""
        try:
            async with asyncio.timeout(ANSWER_LIMIT):
                return await self.ask()
        except OSError:
            return False

    async def start(self) -> None:
        """Start, and return when the service answers.

        :raises SetupError: with the end of its log, when it does not.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        await self.prepare()
        with self.log.open("ab") as log:
            self._logged_before = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *tethered(self.command(), self.stop_signal, self.user()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                # A session of its own: Ctrl-C in the terminal reaches us alone, and we stop the services in order.
                start_new_session=True,
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
            with suppress(ProcessLookupError):
                own.send_signal(self.stop_signal)
            try:
                await asyncio.wait_for(own.wait(), STOP_LIMIT)
            except TimeoutError:
                own.kill()
                await own.wait()
        await self.stop_stranger()

    async def stop_stranger(self) -> None:
        """Stop a server on our directory that is not our child: restarted from outside, or left by a killed stack."""
        if (stranger := self._serving()) is not None:
            await asyncio.to_thread(_stop, stranger, self.stop_signal)

    @property
    def pid(self) -> int | None:
        """Of whoever serves now, by the server's own account."""
        try:
            return int(self.pid_file.read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def _serving(self) -> psutil.Process | None:
        """Whoever the pid file names, if that is a server on our directory.

        After a crash the file may be stale, and its number anybody's by now.
        """
        if (pid := self.pid) is None:
            return None
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process = psutil.Process(pid)
            directory = str(self.directory)
            if process.status() != psutil.STATUS_ZOMBIE and (
                process.cwd() == directory or directory in process.cmdline()
            ):
                return process
        return None

    def _last_words(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._logged_before)
            lines = log.read().decode(errors="replace").strip().splitlines()
        if not lines:
            return f"it said nothing; see {self.log}"
        return next((line for line in reversed(lines) if "FATAL" in line), lines[-1])


def _stop(process: psutil.Process, stop_signal: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(stop_signal)
        try:
            process.wait(STOP_LIMIT)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(STOP_LIMIT)


def is_root() -> bool:
    return os.geteuid() == 0
