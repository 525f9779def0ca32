"""What a worker does before its first run, so that the run need not."""

import asyncio
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader

from app.destinations import DESTINATIONS
from app.destinations.s3.client import Connection, open_client
from app.destinations.s3.roles import load_service_data, shared_session
from tests.destinations.harness import NETWORK


async def test_the_first_client_of_a_process_that_has_prepared_reads_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    shared_session.cache_clear()
    load_service_data.cache_clear()
    await asyncio.to_thread(DESTINATIONS["S3Compatible"].prepare)
    read: list[Any] = []

    def load_file(loader: JSONFileLoader, path: str) -> Any:
        read.append(path)
        return loaded(loader, path)

    loaded = JSONFileLoader.load_file
    monkeypatch.setattr(JSONFileLoader, "load_file", load_file)
    async with open_client(Connection("eu-west-1", "key", "secret", "http://127.0.0.1:1"), NETWORK):
        pass
    assert read == []
