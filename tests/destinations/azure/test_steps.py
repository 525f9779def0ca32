"""The connection test (the contract's section 11)."""

from typing import Any

import pytest

from app.destinations.azure_blob.steps import CONTAINER_EXISTS
from app.destinations.steps import StepResult, Trial, run_step
from app.network import Network
from tests.destinations.azure.harness import NETWORK, AzureHarness, linked
from tests.destinations.azure.proxy import AzureProxy, always, error
from tests.destinations.rows import START

CONFIG = {"container_name": "events", "prefix": ""}


async def run(azure: AzureHarness, network: Network = NETWORK, **config: Any) -> StepResult:
    result = await run_step(
        CONTAINER_EXISTS, Trial({**CONFIG, **config}, network, START, linked(azure.connection_string))
    )
    assert azure.azurite.key not in str(result)
    assert "hush" not in str(result)
    return result


async def test_a_container_that_is_there(azure: AzureHarness) -> None:
    assert await run(azure) == StepResult("Passed")


async def test_a_container_that_is_not_there(azure: AzureHarness) -> None:
    assert await run(azure, container_name="nowhere") == StepResult(
        "Failed", "Container 'nowhere' does not exist or we don't have permissions to use it"
    )


async def test_credentials_that_are_refused(through: AzureHarness, proxy: AzureProxy) -> None:
    proxy.judge = always(error(403, "AuthenticationFailed"))
    result = await run(through)
    assert result.status == "Failed"
    assert str(result.message).startswith(f"container 'events' at {proxy.endpoint} did not accept the credentials")
    assert len(proxy.seen) == 1


async def test_a_busy_service_is_told_at_once(through: AzureHarness, proxy: AzureProxy) -> None:
    proxy.judge = always(error(503, "ServerBusy"))
    assert "asks to slow down" in str((await run(through)).message)
    assert len(proxy.seen) == 1


async def test_a_signature_for_objects_alone_passes(through: AzureHarness, proxy: AzureProxy) -> None:
    """It may do all that an export does, and not look at the container itself."""
    proxy.judge = always(error(403, "AuthorizationResourceTypeMismatch"))
    assert await run(through) == StepResult("Passed")


async def test_an_address_that_is_not_allowed(azure: AzureHarness) -> None:
    assert "may not connect to" in str((await run(azure, Network())).message)


@pytest.mark.parametrize("string", ["", "the-secret-key"])
async def test_without_a_usable_connection_string_nothing_is_tried(azure: AzureHarness, string: str) -> None:
    azure.connection_string = string
    result = await run(azure)
    assert result.status == "Failed"
    assert "the-secret-key" not in str(result.message)
