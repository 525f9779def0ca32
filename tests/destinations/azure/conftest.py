"""The blob service, straight and behind a proxy that makes trouble."""

from collections.abc import AsyncIterator

import pytest
from azure.storage.blob.aio import ExponentialRetry

from tests.destinations.azure.harness import AzureHarness
from tests.destinations.azure.proxy import AzureProxy, open_proxy


@pytest.fixture
def azure() -> AzureHarness:
    return AzureHarness()


@pytest.fixture
async def proxy(azure: AzureHarness) -> AsyncIterator[AzureProxy]:
    async with open_proxy(azure.azurite.endpoint) as opened:
        yield opened


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client tries again as often as ever, but at once."""
    monkeypatch.setattr(ExponentialRetry, "get_backoff_time", lambda *_: 0)


@pytest.fixture
def through(azure: AzureHarness, proxy: AzureProxy) -> AzureHarness:
    """The same place, reached by the proxy."""
    azure.connection_string = azure.azurite.connection_string(proxy.endpoint)
    return azure
