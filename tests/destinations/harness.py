"""What the contract suite needs of a destination: how to make one, and how to look at what it has made visible.

A new destination joins by one entry in ``HARNESSES``.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Protocol
from uuid import UUID, uuid4

from aiobotocore.session import AioSession, get_session
from types_aiobotocore_s3 import S3Client

from app import failpoints
from app.destinations import build
from app.destinations.base import Destination, Earlier, Fence, Target, Unfenced
from app.destinations.s3 import AwsS3
from app.embedded import Stack
from app.errors import LeaseLost
from app.formats import FORMATS
from app.formats.base import encode_files
from app.network import Network
from app.pipeline.deliver import file_extension
from app.settings import Settings
from app.streams import Batches, Chunks
from tests.destinations.azure.harness import AzureHarness
from tests.destinations.rows import SCHEMA, START

RUN_ID = UUID(int=7)
Hook = Callable[[], Awaitable[None]]
UNFENCED = Unfenced()
NETWORK = Network.of(Settings(_env_file=None, allowed_private_hosts=["127.0.0.1"]))


async def nothing() -> None:
    pass


@dataclass
class ScriptedFence(Unfenced):
    """A fence that says what a test wants it to, and remembers what it was told."""

    earlier: Earlier = field(default_factory=Earlier)
    passing: Hook = nothing
    """Awaited whenever the fence is passed."""
    owned: bool = True
    """Whether the run is still this attempt's."""
    aware: bool = True
    """Whether the attempt's own clock tells when it is not: a process may fall asleep right behind that check."""
    lapsed: bool = False
    """Its clock says so of a run that is still its own, until the rows have been asked: so it is once one is cancelled.
    """
    announced: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    asked: int = 0
    """How often the rows were asked whose the run is."""

    async def announce(self, location: str, keys: Sequence[str]) -> Earlier:
        await self.confirm()
        self.announced.append((location, tuple(keys)))
        await failpoints.reach(failpoints.ANNOUNCED)
        return self.earlier

    async def confirm(self) -> None:
        await self.passing()
        if not self.owned:
            raise LeaseLost

    async def owns(self) -> bool:
        self.asked += 1
        self.lapsed = self.lapsed and not self.owned
        return self.owned

    def check(self) -> None:
        if self.lapsed or (self.aware and not self.owned):
            raise LeaseLost


class Harness(Protocol):
    missing: Mapping[str, Any]
    """Config of a place that is not there; empty for a destination that has none."""

    def make(self, **config: Any) -> Destination: ...

    async def visible(self) -> dict[str, bytes]:
        """Everything that others can see, by name."""
        ...

    async def unfinished(self) -> list[str]:
        """Everything that is left over without being visible."""
        ...


class S3Harness:
    """A place of its own in the embedded S3 server's bucket."""

    missing: Mapping[str, Any] = {"bucket_name": "no-such-bucket"}

    def __init__(self, name: str, stack: Stack) -> None:
        self._name = name
        self._s3 = stack.s3
        self.prefix = f"test-{uuid4().hex}"

    def make(self, **config: Any) -> Destination:
        return build(self._name, {**self._s3, "prefix": self.prefix, **config}, NETWORK)

    async def visible(self) -> dict[str, bytes]:
        async with self.client() as client:
            listed = await client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix)
            found = {}
            for entry in listed.get("Contents", []):
                answer = await client.get_object(Bucket=self.bucket, Key=entry["Key"])
                found[entry["Key"]] = await answer["Body"].read()
            return found

    async def head(self, key: str) -> Mapping[str, Any]:
        async with self.client() as client:
            return await client.head_object(Bucket=self.bucket, Key=key)

    async def unfinished(self) -> list[str]:
        async with self.client() as client:
            listed = await client.list_multipart_uploads(Bucket=self.bucket, Prefix=self.prefix)
        return [upload["Key"] for upload in listed.get("Uploads", [])]

    @property
    def bucket(self) -> str:
        return str(self._s3["bucket_name"])

    def client(self) -> AbstractAsyncContextManager[S3Client]:
        return open_s3(self._s3)


@asynccontextmanager
async def open_s3(config: Mapping[str, Any]) -> AsyncIterator[S3Client]:
    """A client of the embedded S3 server; ``config`` is what a stack says of it."""
    async with _session().create_client(
        "s3",
        region_name=config["region"],
        endpoint_url=config["endpoint_url"],
        verify=False,  # plain HTTP needs no certificates, and loading them takes longer than the request
        aws_access_key_id=config["aws_access_key_id"],
        aws_secret_access_key=config["aws_secret_access_key"],
    ) as client:
        yield client


@cache
def _session() -> AioSession:
    """Shared, for a session of one's own takes a tenth of a second to make."""
    return get_session()


class AwsS3Harness(S3Harness):
    """Its config names no endpoint: it has the server's all the same."""

    def make(self, **config: Any) -> Destination:
        made = super().make(**config)
        assert isinstance(made, AwsS3)
        made.connection = replace(made.connection, endpoint_url=self._s3["endpoint_url"])
        return made


class NoOpHarness:
    missing: Mapping[str, Any] = {}

    def __init__(self, name: str, stack: Stack) -> None:
        self._name = name

    def make(self, **config: Any) -> Destination:
        return build(self._name, config, NETWORK)

    async def visible(self) -> dict[str, bytes]:
        return {}

    async def unfinished(self) -> list[str]:
        return []


HARNESSES: Mapping[str, Callable[[str, Stack], Harness]] = {
    "S3": S3Harness,
    "AwsS3": AwsS3Harness,
    "S3Compatible": S3Harness,
    "AzureBlob": AzureHarness,
    "NoOp": NoOpHarness,
}


def make_target(
    destination: Destination,
    *,
    end: datetime = START + timedelta(hours=1),
    max_file_bytes: int | None = None,
    fence: Fence = UNFENCED,
    epoch: int = 1,
    gently: bool = False,
) -> Target:
    """The target of the hour that the events of ``rows`` lie in."""
    files: dict[str, Any] = {}
    if destination.formats:
        config = destination.config
        fmt = FORMATS[config.file_format]
        most = destination.max_file_bytes if max_file_bytes is None else max_file_bytes

        def encode(batches: Batches) -> Chunks:
            return encode_files(batches, fmt, SCHEMA, config.compression, most)

        extension = file_extension(fmt, config.compression, config.legacy_parquet_extension)
        files = {"encode": encode, "extension": extension}
    return Target(table="events", start=START, end=end, run_id=RUN_ID, epoch=epoch, gently=gently, fence=fence, **files)
