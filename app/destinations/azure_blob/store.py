"""A container of Azure Blob Storage as an object store.

An upload in parts is what the service calls *blocks*, staged under the object's name, and a list of them, committed.
Such an upload is nothing of its own to the service. All that are under way to one name share its uncommitted blocks:

* Ids of blocks begin with the upload's, which is random: of two attempts neither can replace, nor commit, a block of
  the other's. They are all of one length, as the service wants the ids under one name to be.
* A commit drops all uncommitted blocks that it does not name, so one of an attempt that slept drops its successor's.
  The successor's own commit is refused then, nothing of it is visible, and its next attempt sends everything again.
* No request throws the blocks of one upload away. Deleting the name does so while there is no object, but nothing
  makes the service look at that in the same moment, and a later attempt's blocks would go too. So
  :meth:`Container.abort` asks for nothing. Nobody sees such blocks. The next commit under the name drops them, or the
  service does, a week after the last of them came; until then they are paid for.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final
from uuid import uuid4

from azure.core import MatchConditions
from azure.storage.blob import BlobBlock, BlockState
from azure.storage.blob.aio import ContainerClient

from app.destinations.azure_blob.errors import (
    LOST,
    NotAzure,
    as_run_error,
    is_conflict,
    is_denied,
    is_gone,
    may_have_worked,
)
from app.destinations.base import Fetched
from app.destinations.objects.body import Body
from app.destinations.objects.store import HIDDEN, NOTHING, ObjectStore, Seen

ATTEMPT_NAME: Final = "batchexportsattempt"
"""The attempt in an object's metadata. Names there must be identifiers, so it has no dash; and no underscore, because
some proxies drop headers with one."""


@dataclass(slots=True)
class Container(ObjectStore):
    """``valid_until``: when the credentials expire, if they say so."""

    lost: ClassVar[tuple[type[Exception], ...]] = LOST
    may_not_delete: ClassVar[str] = "The SAS lacks the permission Delete."

    client: ContainerClient
    valid_until: str | None = None

    async def probe(self, beginning: str) -> None:
        try:
            async for _ in self.client.list_blob_names(name_starts_with=beginning, results_per_page=1):
                break
        except LOST as error:
            # Those that may write only may not list; that the service says so, and not that it does not know them, is
            # enough.
            if not is_denied(error):
                raise

    async def look(self, key: str) -> Seen:
        try:
            found = await self.client.get_blob_client(key).get_blob_properties()
        except LOST as error:
            if is_gone(error):
                return NOTHING
            if is_denied(error):
                return HIDDEN
            raise
        # Whatever is in between may have changed the case of a header's name.
        named = {name.lower(): value for name, value in (found.metadata or {}).items()}
        return Seen(found.size, named.get(ATTEMPT_NAME), found.etag or "")

    async def keys(self, beginning: str) -> Sequence[str]:
        return [name async for name in self.client.list_blob_names(name_starts_with=beginning)]

    async def fetch(self, key: str, path: Path) -> Fetched | None:
        try:
            stream = await self.client.download_blob(key)
        except LOST as error:
            if is_gone(error):
                return None
            raise
        digest, size = hashlib.sha256(), 0
        with path.open("wb") as file:
            async for data in stream.chunks():
                size += len(data)
                await asyncio.to_thread(file.write, data)
                await asyncio.to_thread(digest.update, data)
        return Fetched(size, digest.hexdigest())

    async def put(self, key: str, data: Body, expected: Seen) -> str:
        blob = self.client.get_blob_client(key)
        try:
            answer = await blob.upload_blob(
                bytes(data), length=len(data), overwrite=True, metadata=self._metadata, **_condition(expected)
            )
        except LOST as error:
            # Some take a name that has uncommitted blocks for an object when one is put there, though never when a list
            # of blocks is committed (Azurite does).
            if expected is not NOTHING or not is_conflict(error) or await self.look(key) is not NOTHING:
                raise
            upload = await self.begin(key)
            return await self.complete(key, upload, [await self.send(key, upload, 1, data)], expected)
        return _tag(answer)

    async def begin(self, key: str) -> str:
        return uuid4().hex

    async def send(self, key: str, upload: str, number: int, data: Body) -> str:
        block = f"{upload}-{number:05}"
        await self.client.get_blob_client(key).stage_block(block, bytes(data), len(data))
        return block

    async def complete(self, key: str, upload: str, parts: Sequence[str], expected: Seen) -> str:
        blocks = [BlobBlock(part, BlockState.UNCOMMITTED) for part in parts]
        blob = self.client.get_blob_client(key)
        return _tag(await blob.commit_block_list(blocks, metadata=self._metadata, **_condition(expected)))

    async def abort(self, key: str, upload: str) -> None:
        """See above: it is the service that throws them away."""

    async def uploads(self, beginning: str) -> Sequence[tuple[str, str]]:
        return ()

    async def delete(self, key: str, seen: Seen) -> None:
        try:
            await self.client.get_blob_client(key).delete_blob(**_only(seen.etag))
        except LOST as error:
            if not is_conflict(error) and not is_gone(error):
                raise

    def is_conflict(self, error: Exception) -> bool:
        return is_conflict(error)

    def is_denied(self, error: Exception) -> bool:
        return is_denied(error)

    def may_have_worked(self, error: Exception) -> bool:
        return may_have_worked(error)

    def run_error(self, error: Exception) -> Exception:
        return as_run_error(error, self.where, self.valid_until)

    @property
    def _metadata(self) -> dict[str, str]:
        return {ATTEMPT_NAME: self.attempt}


def _tag(answer: Mapping[str, Any]) -> str:
    if not (tag := answer.get("etag")):
        raise NotAzure
    return str(tag)


def _condition(expected: Seen) -> dict[str, Any]:
    return {"match_condition": MatchConditions.IfMissing} if expected is NOTHING else _only(expected.etag)


def _only(etag: str) -> dict[str, Any]:
    """The object with that tag; any, where none was seen."""
    return {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}
