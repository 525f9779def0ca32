"""What the types of the S3 family have in common."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar, Self

from botocore.exceptions import BotoCoreError

from app.destinations.columns import FILE_COLUMNS, Columns
from app.destinations.objects.destination import ObjectDestination
from app.destinations.objects.store import ObjectStore
from app.destinations.proposal import Linked, Proposal
from app.destinations.s3.client import Connection, create_arguments, guard, open_client
from app.destinations.s3.config import BucketConfig, settle_bucket
from app.destinations.s3.errors import NotAssumed, as_run_error, location, unusable, where
from app.destinations.s3.roles import Role, load_service_data, usable_settings
from app.destinations.s3.store import Bucket
from app.errors import Misconfigured
from app.network import AddressRefused, Network


class Bucketed(ObjectDestination):
    secrets: ClassVar[frozenset[str]] = frozenset({"aws_access_key_id", "aws_secret_access_key"})
    columns: ClassVar[Columns] = FILE_COLUMNS

    def __init__(self, config: BucketConfig, network: Network) -> None:
        super().__init__(config, network)
        self.connection = Connection.of(config.model_dump())
        where(config.bucket_name, self.connection.endpoint_url)  # what is no URL is found out here

    @classmethod
    def prepare(cls) -> None:
        load_service_data()

    @classmethod
    def of(cls, settings: Mapping[str, Any], network: Network) -> Self:
        # What an integration says of a role has no place in a config.
        made = super().of(settings, network)
        made.connection = replace(made.connection, role=Role.of(settings))
        return made

    @classmethod
    def settle(cls, proposal: Proposal) -> dict[str, Any]:
        return settle_bucket(proposal)

    @classmethod
    def settings(cls, document: Mapping[str, Any], integration: Linked | None) -> dict[str, Any]:
        settings = usable_settings(document, integration)
        keys = settings.get("aws_access_key_id") and settings.get("aws_secret_access_key")
        if not keys and Role.of(settings) is None:
            raise Misconfigured("there are no credentials: neither in the config nor in an integration")
        return settings

    @property
    def location(self) -> str:
        return location(self.config.bucket_name, self.connection.endpoint_url)

    @asynccontextmanager
    async def open_store(
        self, attempt: str = "", check: Callable[[], None] | None = None
    ) -> AsyncIterator[ObjectStore]:
        place = where(self.config.bucket_name, self.connection.endpoint_url)
        opening = open_client(self.connection, self.network, attempt=attempt)
        try:
            client = await opening.__aenter__()
        except (AddressRefused, NotAssumed) as error:
            raise as_run_error(error, place) from None
        except (BotoCoreError, ValueError) as error:
            raise unusable(place, error) from None
        try:
            if check is not None:
                guard(client, check)
            extra = create_arguments(self.config.model_dump())
            yield Bucket(self.config.bucket_name, place, attempt, client, extra, self.connection.checksums)
        finally:
            await opening.__aexit__(None, None, None)
