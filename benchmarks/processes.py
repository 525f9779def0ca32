"""Processes of our own, watched: how long they took and how much memory they had at most."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import psutil


@dataclass(frozen=True)
class Usage:
    seconds: float
    peak_mib: float


@dataclass(frozen=True)
class Cpu:
    """Seconds of the processors'."""

    process: float
    """What one process has used, with all its threads."""
    others: float
    """What everything else has."""

    @classmethod
    def now(cls, pid: int) -> Self:
        """Since each began to count: only differences mean something."""
        own = psutil.Process(pid).cpu_times()
        all_ = psutil.cpu_times()
        process = own.user + own.system
        return cls(process, all_.user + all_.nice + all_.system + all_.irq + all_.softirq - process)

    def since(self, before: Self) -> "Cpu":
        return Cpu(self.process - before.process, self.others - before.others)


class Watched:
    """A child process; ``stop`` or ``wait`` gives what it used."""

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str], python: str = sys.executable) -> None:
        self._started = time.monotonic()
        self._process = subprocess.Popen([python, *arguments], env={**os.environ, **env}, stdout=subprocess.DEVNULL)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self) -> Usage:
        # wait4 tells the peak of this very child; getrusage would tell the largest of all.
        _, status, usage = os.wait4(self._process.pid, 0)
        seconds = time.monotonic() - self._started
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if self._process.returncode not in (0, -signal.SIGTERM):
            raise RuntimeError(f"{self._process.args!r} ended with status {self._process.returncode}")
        return Usage(seconds, usage.ru_maxrss / 1024)

    def stop(self) -> Usage:
        self._process.send_signal(signal.SIGTERM)
        return self.wait()
