"""Azure Blob Storage: always with an integration, for there never were credentials in its config."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Self

from app.destinations.azure_blob.client import open_client
from app.destinations.azure_blob.config import AzureBlobConfig, settle_container
from app.destinations.azure_blob.connection import Connection
from app.destinations.azure_blob.errors import as_run_error
from app.destinations.azure_blob.steps import CONTAINER_EXISTS
from app.destinations.azure_blob.store import Container
from app.destinations.base import DestinationConfig, Target
from app.destinations.columns import AZURE_COLUMNS, Columns
from app.destinations.keys import Names
from app.destinations.objects.destination import ObjectDestination
from app.destinations.objects.store import ObjectStore
from app.destinations.objects.upload import Upload
from app.destinations.proposal import Linked, Proposal, Takes, overlay
from app.destinations.steps import Step
from app.errors import Misconfigured
from app.network import AddressRefused, Network

SETTING = "connection_string"


class AzureBlob(ObjectDestination):
    name: ClassVar[str] = "AzureBlob"
    config_model: ClassVar[type[DestinationConfig]] = AzureBlobConfig
    columns: ClassVar[Columns] = AZURE_COLUMNS
    takes: ClassVar[Takes | None] = Takes(
        kind="azure-blob",
        wrong_kind="Integration is not an Azure Blob integration.",
        required="Integration is required for Azure Blob batch exports",
        needs=(SETTING,),
        invalid="Azure Blob integration is not valid: '{key}' missing",
    )
    steps: ClassVar[Sequence[Step]] = (CONTAINER_EXISTS,)

    connection: Connection | None = None
    """None where nothing is to be connected to, as for a preview."""

    @classmethod
    def of(cls, settings: Mapping[str, Any], network: Network) -> Self:
        """From all settings of a run: what the integration adds to them has no place in a config."""
        made = super().of(settings, network)
        made.connection = _parsed(settings[SETTING])
        return made

    @classmethod
    def settle(cls, proposal: Proposal) -> dict[str, Any]:
        return settle_container(proposal)

    @classmethod
    def settings(cls, document: Mapping[str, Any], integration: Linked | None) -> dict[str, Any]:
        settings = overlay(document, integration)
        if integration is None or not settings.get(SETTING):
            raise Misconfigured("there is no Azure Blob integration with a connection string")
        _parsed(settings[SETTING])
        return settings

    @property
    def location(self) -> str:
        return self.connection.location(self.config.container_name) if self.connection is not None else ""

    def _has_manifest(self, names: Names, files: int) -> bool:
        # One file needs none (the contract's section 10.2), unless no listing tells what belongs to a window.
        return files > 1 or bool(names.variables)

    def _document(self, target: Target, uploads: Sequence[Upload]) -> bytes:
        return json.dumps(json.loads(super()._document(target, uploads)), indent=2).encode()

    @asynccontextmanager
    async def open_store(
        self, attempt: str = "", check: Callable[[], None] | None = None
    ) -> AsyncIterator[ObjectStore]:
        name, connection = self.config.container_name, self.connection
        assert connection is not None
        where = connection.where(name)
        opening = open_client(connection, name, self.network, check)
        try:
            client = await opening.__aenter__()
        except AddressRefused as error:
            raise as_run_error(error, where) from None
        except ValueError as error:
            raise Misconfigured(
                f"{where}: no request can be made with these settings ({type(error).__name__})"
            ) from None
        try:
            yield Container(name, where, attempt, client, connection.valid_until)
        finally:
            await opening.__aexit__(None, None, None)


def _parsed(text: str) -> Connection:
    try:
        return Connection.parse(text)
    except ValueError as error:
        raise Misconfigured(f"the integration's connection string cannot be used: {error}") from None
