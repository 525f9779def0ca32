"""Destinations that are object stores: one write, all of it or nothing."""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from re import Pattern
from typing import ClassVar

from app import failpoints
from app.destinations.base import Destination, Stored, Target, Written
from app.destinations.files import BYTES_PER_MB
from app.destinations.keys import manifest_key, names, object_key, render_prefix, stem
from app.destinations.manifest import describe
from app.destinations.objects.commit import Commit, clean_up
from app.destinations.objects.store import ObjectStore, discard
from app.destinations.objects.stored import StoredObjects
from app.destinations.objects.upload import Upload, largest_file
from app.errors import LeaseLost
from app.streams import Batches


class ObjectDestination(Destination):
    """Its config is a :class:`app.destinations.files.FilesConfig` with a ``prefix``."""

    formats: ClassVar[Sequence[str]] = ("JSONLines", "Parquet")

    @abstractmethod
    def open_store(
        self, attempt: str = "", check: Callable[[], None] | None = None
    ) -> AbstractAsyncContextManager[ObjectStore]:
        """The store, for one attempt. ``check`` is called right before each request whose effect others see, the
        client's own repetitions included: between the first and the last of those, minutes may pass.

        :raises app.errors.RunError: for settings with which no request can be made.
        """

    def first_keys(self, target: Target) -> Sequence[str]:
        manifest = [] if self.config.max_file_size_mb is None else [self._manifest_key(target)]
        return [self._key(target, 0), *manifest]

    @property
    def max_file_bytes(self) -> int | None:
        size = self.config.max_file_size_mb
        return min(size * BYTES_PER_MB, largest_file()) if size is not None else None

    async def write(self, batches: Batches, target: Target) -> Written:
        opening = self.open_store(f"{target.run_id}/{target.epoch}", target.fence.check)
        async with aclosing(batches), opening as store:
            if target.gently:
                store.slots = asyncio.Semaphore(1)
            uploads: list[Upload] = []
            try:
                await self._send(batches, target, store, uploads)
                await failpoints.reach(failpoints.ALL_SENT)
                if not uploads:
                    await store.probe(self._stem(target))
                manifest = self._manifest(target, store, uploads)
                keys = [upload.key for upload in (*uploads, *([manifest] if manifest else []))]
                earlier = await target.fence.announce(self.location, keys)
            except BaseException as error:
                await clean_up(upload.abort() for upload in uploads)
                raise _run_error(store, error) from None
            commit = Commit(store, target, earlier, uploads, manifest)
            try:
                await commit.make(self._stem(target), self._names(target))
            except BaseException as error:
                if commit.complete:
                    target.fence.finished(self._written(uploads, manifest, commit))
                raise _run_error(store, error) from None
            return self._written(uploads, manifest, commit)

    async def discard(self, keys: Sequence[str], attempt: str | None = None) -> None:
        async with self.open_store() as store:
            try:
                await discard(store, keys, attempt or "")
            except Exception as error:
                raise _run_error(store, error) from None

    @asynccontextmanager
    async def stored(self) -> AsyncIterator[Stored]:
        async with self.open_store() as store:
            yield StoredObjects(store, self.config.prefix)

    async def _send(self, batches: Batches, target: Target, store: ObjectStore, uploads: list[Upload]) -> None:
        """Send every file, in parts; none is visible yet."""
        assert target.encode is not None
        async with asyncio.TaskGroup() as parts, aclosing(target.encode(batches)) as chunks:
            async for chunk in chunks:
                if chunk.file == len(uploads):
                    if uploads:
                        await uploads[-1].send_rest(alone=False)
                    uploads.append(Upload(store, self._key(target, chunk.file), parts))
                await uploads[chunk.file].add(chunk.data, chunk.rows)
                uploads[chunk.file].end = chunk.end
            if uploads:
                await uploads[-1].send_rest(alone=True)

    def _written(self, uploads: Sequence[Upload], manifest: Upload | None, commit: Commit) -> Written:
        return Written(
            rows=sum(upload.rows for upload in uploads),
            bytes=sum(upload.bytes for upload in uploads),
            files=tuple(upload.written for upload in uploads),
            manifest=manifest.written if manifest is not None else None,
            location=self.location,
            undeleted=commit.undeleted,
            undeleted_reason=commit.reason,
        )

    def _manifest(self, target: Target, store: ObjectStore, uploads: Sequence[Upload]) -> Upload | None:
        if self.config.max_file_size_mb is None or not uploads:
            return None
        document = describe(target, [upload.written for upload in uploads])
        return Upload.of_whole(store, self._manifest_key(target), document)

    def _manifest_key(self, target: Target) -> str:
        return manifest_key(self._prefix(target), target.start, target.end)

    def _prefix(self, target: Target) -> str:
        return render_prefix(self.config.prefix, target.table, target.start, target.end)

    def _stem(self, target: Target) -> str:
        return stem(self._prefix(target), target.start, target.end)

    def _names(self, target: Target) -> Pattern[str]:
        return names(self._prefix(target), target.start, target.end, target.extension)

    def _key(self, target: Target, file: int) -> str:
        number = file if self.config.max_file_size_mb is not None else None
        return object_key(self._prefix(target), target.start, target.end, target.extension, number)


def _run_error(store: ObjectStore, error: BaseException) -> BaseException:
    """The error to raise: the first of a group, in the run's terms. What ends the attempt, and what nobody foresaw, as
    it is: the traceback of that is wanted."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, LeaseLost) or not isinstance(error, Exception):
        return error
    return store.run_error(error)
