"""What the tests start is ended with them, however they end."""

import asyncio

import pytest

from tests import preloaded
from tests.worker.processes import DEADLINE


async def test_a_process_is_ended_once_nobody_is_there_who_started_it() -> None:
    process = await preloaded.start("http.server", "0", "--bind", "127.0.0.1", env={})
    assert process.stdout is not None
    assert await process.stdout.readline()
    process._connection.close()  # as the system does when the starter is killed
    assert await asyncio.wait_for(process.stdout.read(), DEADLINE) == b""
    with pytest.raises(ValueError, match="invalid literal"):  # no status
        await process.wait()
