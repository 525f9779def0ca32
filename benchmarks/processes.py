"""Processes of our own, watched: how long they took and how much memory they had at most."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    seconds: float
    peak_mib: float


class Watched:
    """A child process; ``stop`` or ``wait`` gives what it used."""

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str], python: str = sys.executable) -> None:
        self._started = time.monotonic()
        self._process = subprocess.Popen([python, *arguments], env={**os.environ, **env}, stdout=subprocess.DEVNULL)

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
