"""A TCP proxy that a test can cut, freeze and mend: a network in trouble."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

HOST = "127.0.0.1"


Watch = Callable[[bytes], bool]
"""Sees what a client sends, piece by piece; True: cut this connection once the server has answered that piece."""


class Proxy:
    """``watch`` is made anew for each connection."""

    def __init__(self, target: int, watch: Callable[[], Watch] | None = None) -> None:
        self._target = target
        self._watch = watch
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def mend(self) -> None:
        """Let everything through; on the same port as ever."""
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """End all connections and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    def freeze(self) -> None:
        """Keep connections, and take new ones, but let no byte through."""
        self._flowing.clear()

    async def close(self) -> None:
        await self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
            self._writers.add(far_writer)
            try:
                deaf = asyncio.Event()
                watch = self._watch() if self._watch is not None else None
                await asyncio.gather(
                    self._pump(reader, far_writer, watch, deaf), self._pump(far_reader, writer, deaf=deaf)
                )
            finally:
                self._writers.discard(far_writer)
                far_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        watch: Watch | None = None,
        deaf: asyncio.Event | None = None,
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._flowing.wait()
                if watch is None and deaf is not None and deaf.is_set():
                    break  # the answer is there, and nobody hears it
                if watch is not None and watch(data) and deaf is not None:
                    deaf.set()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def open_proxy(target: int, watch: Callable[[], Watch] | None = None) -> AsyncIterator[Proxy]:
    """In front of a port of the loopback address."""
    proxy = Proxy(target, watch)
    await proxy.mend()
    try:
        yield proxy
    finally:
        await proxy.close()
