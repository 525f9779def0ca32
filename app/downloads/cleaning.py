"""Deleting the objects of downloads that nobody can fetch any more, by any worker, at leisure.

A download's objects lie under a prefix that no other one has, so everything there is its own: what it has put on
record, what a lost attempt may have left, and uploads that were never completed. Doing it again finds nothing and
changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from app.destinations.file_download import Delivery, InternalBucket, is_download
from app.destinations.objects.store import discard
from app.downloads.repository import CleanUpRepository, Expired
from app.errors import Misconfigured, RunError, SetupError
from app.network import Network
from app.repeating import repeating
from app.runtime import Runtime
from app.timeouts import insisting

BATCH: Final = 20
"""Downloads of one pass."""
AGAIN_AFTER: Final = timedelta(minutes=30)
"""When one is tried again that could not be cleaned up."""
DATABASE_LIMIT: Final = 10.0
"""Seconds after which a database that says nothing does not answer."""
STORE_LIMIT: Final = 60.0
"""Seconds that deleting one download's objects may take; the rest is for the next time."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Cleaner:
    runtime: Runtime

    async def clean(self) -> bool:
        """Clean up after some downloads; whether there may be more. Any number of workers may do so at once."""
        bucket = InternalBucket.of(self.runtime.settings)
        if bucket is None:
            return False
        now = self.runtime.clock()
        async with insisting(DATABASE_LIMIT), self.runtime.sessions.begin() as session:
            taken = await CleanUpRepository(session, now).take(BATCH, AGAIN_AFTER)
        for expired in taken:
            try:
                async with asyncio.timeout(STORE_LIMIT):
                    deleted = await self._delete(bucket, expired)
            except (RunError, TimeoutError) as error:
                reason = str(error) or "it took too long"
                log.warning("files of a download not deleted", run_id=str(expired.run_id), reason=reason)
                if not isinstance(error, RunError) or error.retryable:
                    # The store is away: the others of this pass would only wait for it one after another.
                    return False
                continue
            async with insisting(DATABASE_LIMIT), self.runtime.sessions.begin() as session:
                await CleanUpRepository(session, now).note_removed(expired.run_id)
            log.info("files of a download deleted", run_id=str(expired.run_id), keys=deleted)
        return len(taken) == BATCH

    async def _delete(self, bucket: InternalBucket, expired: Expired) -> int:
        """How many objects there were.

        :raises RunError: when that cannot be done.
        """
        delivery = self._open(bucket, expired)
        if elsewhere := set(expired.locations) - {delivery.location}:
            raise Misconfigured(
                f"it lies at {min(elsewhere)}, and downloads are at {delivery.location} by now; delete it there by hand"
            )
        beginning = f"{delivery.config.prefix}/"
        async with delivery.open_store() as store:
            try:
                for key, upload in await store.uploads(beginning):
                    await store.abort(key, upload)
                keys = await store.keys(beginning)
                await discard(store, keys)
            except store.lost as error:
                raise store.run_error(error) from None
        return len(keys)

    def _open(self, bucket: InternalBucket, expired: Expired) -> Delivery:
        try:
            document = self.runtime.cipher.open(expired.destination_config)
        except SetupError as error:
            raise Misconfigured(str(error)) from None
        if not is_download(document):
            raise Misconfigured("its stored config names no place of its own")
        return Delivery.into(bucket, document, Network.of(self.runtime.settings))


@asynccontextmanager
async def open_cleaner(runtime: Runtime) -> AsyncIterator[None]:
    """A cleaner at work, where there is a bucket for downloads."""
    cleaner = Cleaner(runtime)
    async with repeating(cleaner.clean, runtime.settings.download_cleanup_interval, "no files of downloads deleted"):
        yield
