"""The S3 server, straight and behind a proxy that makes trouble."""

from collections.abc import AsyncIterator

import pytest
from botocore.retries.standard import ExponentialBackoff

from app.embedded import Stack
from tests.destinations.harness import S3Harness
from tests.destinations.s3_proxy import S3Proxy, open_proxy


@pytest.fixture
def s3(stack: Stack) -> S3Harness:
    return S3Harness("S3", stack)


@pytest.fixture
async def proxy(stack: Stack) -> AsyncIterator[S3Proxy]:
    async with open_proxy(stack.s3["endpoint_url"]) as opened:
        yield opened


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client tries again as often as ever, but at once."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0)
