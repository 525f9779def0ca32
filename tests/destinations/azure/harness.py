"""What the contract suite needs of Azure Blob Storage, and what its own tests need beyond that."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from app.destinations import build
from app.destinations.base import Destination
from app.destinations.proposal import Linked
from app.embedded import Stack
from app.network import Network
from app.settings import Settings
from tests.destinations.azure.azurite import CONTAINER, running

NETWORK = Network.of(Settings(_env_file=None, allowed_private_hosts=["127.0.0.1"]))


class AzureHarness:
    """A place of its own in the server's container."""

    missing: Mapping[str, Any] = {"container_name": "no-such-container"}
    lingers = True

    def __init__(self, name: str = "AzureBlob", stack: Stack | None = None) -> None:
        """``stack`` has nothing of it."""
        self._name = name
        self.azurite = running()
        self.prefix = f"test-{uuid4().hex}"
        self.connection_string = self.azurite.connection_string()

    def make(self, *, connection_string: str | None = None, network: Network = NETWORK, **config: Any) -> Destination:
        settings = {"container_name": CONTAINER, "prefix": self.prefix, **config}
        return build(self._name, settings, network, linked(connection_string or self.connection_string))

    async def visible(self) -> dict[str, bytes]:
        async with self.azurite.container() as container:
            names = [name async for name in container.list_blob_names(name_starts_with=self.prefix)]
            return {name: await (await container.download_blob(name)).readall() for name in names}

    async def unfinished(self) -> list[str]:
        """Names that have blocks which no list of blocks names, whether there is an object or not."""
        async with self.azurite.container() as container:
            listing = container.list_blobs(name_starts_with=self.prefix, include=["uncommittedblobs"])
            names = [blob.name async for blob in listing]
            blocks = [await container.get_blob_client(name).get_block_list("uncommitted") for name in names]
        return [name for name, (_, uncommitted) in zip(names, blocks, strict=True) if uncommitted]

    async def attempts(self) -> dict[str, str]:
        """Which attempt wrote each object."""
        async with self.azurite.container() as container:
            listing = container.list_blobs(name_starts_with=self.prefix, include=["metadata"])
            return {blob.name: blob.metadata["batchexportsattempt"] async for blob in listing}


def linked(connection_string: str) -> Linked:
    return Linked(1, "azure-blob", {}, {"connection_string": connection_string})
