"""What the types of the S3 family have in common."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from botocore.exceptions import BotoCoreError

from app.destinations.columns import FILE_COLUMNS, Columns
from app.destinations.objects.destination import ObjectDestination
from app.destinations.objects.store import ObjectStore
from app.destinations.proposal import Linked, Proposal, overlay
from app.destinations.s3.client import Connection, create_arguments, guard, open_client
from app.destinations.s3.config import BucketConfig, settle_bucket
from app.destinations.s3.errors import as_run_error, location, unusable, where
from app.destinations.s3.store import Bucket
from app.errors import Misconfigured, Unsupported
from app.network import AddressRefused, Network


class Bucketed(ObjectDestination):
    secrets: ClassVar[frozenset[str]] = frozenset({"aws_access_key_id", "aws_secret_access_key"})
    columns: ClassVar[Columns] = FILE_COLUMNS

    def __init__(self, config: BucketConfig, network: Network) -> None:
        super().__init__(config, network)
        self.connection = Connection.of(config.model_dump())
        where(config.bucket_name, self.connection.endpoint_url)  # what is no URL is found out here

    @classmethod
    def settle(cls, proposal: Proposal) -> dict[str, Any]:
        return settle_bucket(proposal)

    @classmethod
    def settings(cls, document: Mapping[str, Any], integration: Linked | None) -> dict[str, Any]:
        settings = overlay(document, integration)
        if settings.get("aws_access_key_id") and settings.get("aws_secret_access_key"):
            return settings
        if settings.get("aws_role_arn"):
            raise Unsupported("this version cannot assume AWS roles yet")
        raise Misconfigured("there are no credentials: neither in the config nor in an integration")

    @property
    def location(self) -> str:
        return location(self.config.bucket_name, self.connection.endpoint_url)

    @asynccontextmanager
    async def open_store(
        self, attempt: str = "", check: Callable[[], None] | None = None
    ) -> AsyncIterator[ObjectStore]:
        place = where(self.config.bucket_name, self.connection.endpoint_url)
        opening = open_client(self.connection, self.network)
        try:
            client = await opening.__aenter__()
        except AddressRefused as error:
            raise as_run_error(error, place) from None
        except (BotoCoreError, ValueError) as error:
            raise unusable(place, error) from None
        try:
            if check is not None:
                guard(client, check)
            yield Bucket(self.config.bucket_name, place, attempt, client, create_arguments(self.config.model_dump()))
        finally:
            await opening.__aexit__(None, None, None)
