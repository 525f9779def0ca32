"""Our own processes, without the seconds that each would need to import everything: one that has done so forks them.

What comes out is a process like any other, with its own pid, signals, environment, directory and outputs, that runs a
module as ``python -m`` does.

``python -m tests.preloaded SOCKET`` is what forks; it ends when its standard input does. For each connection
to its socket it forks a keeper, which forks the process that was asked for and tells on the connection its pid and, in
the end, its status.
"""

import asyncio
import atexit
import faulthandler
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from app.destinations import DESTINATIONS

IMPORTED: Final = ("app.cli", "app.main", "app.pipeline.execute", "uvicorn.main", "worker.main", "tests.faults.world")
"""Nothing that is run as a program: that would be imported already when it is to be run."""
TELL: Final = signal.SIGUSR1
"""Makes a process say on standard error what it is doing."""
TOLD: Final = "that was all"
"""What it ends with."""
INHERIT: Final = None
PIPE: Final = asyncio.subprocess.PIPE


class Process:
    """As :class:`asyncio.subprocess.Process`, as far as tests need it."""

    def __init__(self, pid: int, watched: asyncio.StreamReader, connection: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._connection = connection
        self._ended = asyncio.create_task(self._watch(watched))

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    async def communicate(self, data: bytes = b"") -> tuple[bytes, bytes]:
        async def write() -> None:
            if self.stdin is not None:
                try:
                    self.stdin.write(data)
                    await self.stdin.drain()
                except (BrokenPipeError, ConnectionResetError):
                    pass  # it does not want to know
                self.stdin.close()

        async def read(stream: asyncio.StreamReader | None) -> bytes:
            return b"" if stream is None else await stream.read()

        _, out, err = await asyncio.gather(write(), read(self.stdout), read(self.stderr))
        await self.wait()
        return out, err

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def _watch(self, watched: asyncio.StreamReader) -> int:
        line = await watched.readline()
        self.returncode = os.waitstatus_to_exitcode(int(line))
        self._connection.close()
        return self.returncode


async def start(
    module: str,
    *arguments: str,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: int | None = None,
    stdout: Any = PIPE,
    stderr: Any = PIPE,
) -> Process:
    """A process that runs ``module``. Outputs are :data:`PIPE`, or open files; standard input is empty, or a pipe."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(_server()))
    connection.setblocking(False)
    streams = [_Stream.reading(stdin), _Stream.writing(stdout), _Stream.writing(stderr)]
    request = {"module": module, "arguments": arguments, "env": dict(env), "cwd": str(cwd or Path.cwd())}
    try:
        socket.send_fds(connection, [b"\0"], [stream.theirs for stream in streams])
    finally:
        for stream in streams:
            os.close(stream.theirs)
    reader, writer = await asyncio.open_connection(sock=connection)
    writer.write(json.dumps(request).encode() + b"\n")
    process = Process(int(await reader.readline()), reader, writer)
    if streams[0].ours is not None:
        process.stdin = await _writer(streams[0].ours)
    process.stdout, process.stderr = [
        await _reader(stream.ours) if stream.ours is not None else None for stream in streams[1:]
    ]
    return process


@dataclass(frozen=True)
class _Stream:
    theirs: int
    ours: int | None

    @classmethod
    def reading(cls, source: int | None) -> "_Stream":
        if source != PIPE:
            return cls(os.open(os.devnull, os.O_RDONLY), None)
        return cls(*os.pipe())

    @classmethod
    def writing(cls, sink: Any) -> "_Stream":
        if sink == PIPE:
            ours, theirs = os.pipe()
            return cls(theirs, ours)
        if sink == asyncio.subprocess.DEVNULL:
            return cls(os.open(os.devnull, os.O_WRONLY), None)
        return cls(os.dup(sink.fileno()), None)


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    return reader


async def _writer(descriptor: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(descriptor, "wb", buffering=0)
    )
    return asyncio.StreamWriter(transport, protocol, None, loop)


@cache
def _server() -> Path:
    """The socket of this process's own; made at the first call."""
    directory = Path(tempfile.mkdtemp(prefix="batch-exports-preloaded-"))
    path = directory / "socket"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BATCH_EXPORTS_")}
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(path)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"

    def end() -> None:
        process.communicate()
        path.unlink()
        directory.rmdir()

    atexit.register(end)
    return path


def serve(path: str) -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    for destination in DESTINATIONS.values():
        destination.prepare()
    # Children would otherwise copy every page that collecting garbage looks at; and for tests, they look too often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how keepers ended
    while True:
        readable, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in readable:
            return
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            keep(connection)
            return
        connection.close()


def keep(connection: socket.socket) -> None:
    """Fork what is asked for; returns in both, the keeper and, when it has run, the process."""
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("rwb") as stream:
        request = json.loads(stream.readline())
        pid = os.fork()
        if pid:
            for descriptor in (*descriptors, 0, 1):
                os.close(descriptor)
            _tell(stream, pid)
            threading.Thread(target=_end_with, args=(connection, pid), daemon=True).start()
            _, status = os.waitpid(pid, 0)
            _tell(stream, status)
            os._exit(0)
    connection.close()
    run(request, descriptors)


def _end_with(connection: socket.socket, pid: int) -> None:
    """Nobody is left to ask for a process whose starter was killed: it would run for ever."""
    with suppress(OSError):
        while connection.recv(1):
            pass
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _tell(stream: Any, number: int) -> None:
    try:
        stream.write(b"%d\n" % number)
        stream.flush()
    except OSError:
        pass  # the test has ended


def run(request: dict[str, Any], descriptors: list[int]) -> None:
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = [request["module"], *request["arguments"]]
    signal.signal(TELL, _tell_tasks)
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def _tell_tasks(number: int, frame: Any) -> None:
    faulthandler.dump_traceback(all_threads=True)
    with suppress(RuntimeError):  # no event loop is running
        for task in asyncio.all_tasks():
            sys.stderr.write(f"{task.get_name()}\n")
            awaited: Any = task.get_coro()
            # A task's own stack is its outermost call alone.
            while (frame := getattr(awaited, "cr_frame", None)) is not None:
                sys.stderr.write(f"  {frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}\n")
                awaited = awaited.cr_await
    sys.stderr.write(f"{TOLD}\n")


if __name__ == "__main__":
    serve(sys.argv[1])
