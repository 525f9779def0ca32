"""Destinations that are object stores: one write, all of it or nothing."""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import ClassVar, Final

from app import failpoints
from app.destinations.base import Destination, Stored, Target, Written
from app.destinations.files import BYTES_PER_MB
from app.destinations.keys import Names
from app.destinations.manifest import describe
from app.destinations.objects.commit import Commit, clean_up
from app.destinations.objects.store import ObjectStore, discard
from app.destinations.objects.stored import StoredObjects
from app.destinations.objects.upload import PART_BYTES, Upload, largest_file
from app.errors import LeaseLost
from app.streams import Batches, prefetch

HELD_BYTES: Final = PART_BYTES // 2
"""Of small files of partitions that are sent by their commits, in one request each: many windows have no more."""


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
        names = self._names(target)
        return [names.example, *([names.manifest] if names.numbered or names.variables else [])]

    @property
    def max_file_bytes(self) -> int | None:
        size = self.config.max_file_size_mb
        return min(size * BYTES_PER_MB, largest_file()) if size is not None else None

    async def write(self, batches: Batches, target: Target) -> Written:
        names = self._names(target)
        opening = self.open_store(f"{target.run_id}/{target.epoch}", target.fence.check)
        async with aclosing(batches), opening as store:
            if target.gently:
                store.slots = asyncio.Semaphore(1)
            uploads: list[Upload] = []
            try:
                await self._send(batches, target, store, names, uploads)
                await failpoints.reach(failpoints.ALL_SENT)
                if not uploads:
                    await store.probe(names.beginning)
                manifest = self._manifest(target, store, names, uploads)
                keys = [upload.key for upload in (*uploads, *([manifest] if manifest else []))]
                earlier = await target.fence.announce(self.location, keys)
            except BaseException as error:
                await clean_up((upload.abort() for upload in uploads), len(uploads))
                raise _run_error(store, error) from None
            # Files of a size are few and large; those of partitions may be many and small.
            commit = Commit(store, target, earlier, uploads, manifest, many=bool(names.variables))
            try:
                await commit.make(names.beginning, _mine(names, uploads))
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
            yield StoredObjects(store, self._names)

    async def _send(
        self, batches: Batches, target: Target, store: ObjectStore, names: Names, uploads: list[Upload]
    ) -> None:
        """Send every file, in parts; none is visible yet."""
        assert target.encode is not None
        room, number = HELD_BYTES if names.variables else 0, 0
        async with asyncio.TaskGroup() as parts, aclosing(prefetch(target.encode(batches))) as chunks:
            async for chunk in chunks:
                if chunk.file == len(uploads):
                    if uploads:
                        last = uploads[-1]
                        waits = last.bytes <= room
                        room -= last.bytes if waits else 0
                        number = number + 1 if chunk.partition == last.partition else 0
                        await last.send_rest(waits=waits)
                    uploads.append(Upload(store, names.file(number, chunk.partition), parts, chunk.partition))
                await uploads[chunk.file].add(chunk.data, chunk.rows)
                uploads[chunk.file].end = chunk.end
            if uploads:
                await uploads[-1].send_rest(waits=True)

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

    def _manifest(self, target: Target, store: ObjectStore, names: Names, uploads: Sequence[Upload]) -> Upload | None:
        if not uploads or not self._has_manifest(names, len(uploads)):
            return None
        return Upload.of_whole(store, names.manifest, self._document(target, uploads))

    def _has_manifest(self, names: Names, files: int) -> bool:
        """Whether so many files have one."""
        # Always where keys are partitioned: no listing tells what belongs to a window.
        return self.config.max_file_size_mb is not None or bool(names.variables)

    def _document(self, target: Target, uploads: Sequence[Upload]) -> bytes:
        """What it says."""
        return describe(target, [upload.written for upload in uploads], [upload.partition for upload in uploads])

    def _names(self, target: Target) -> Names:
        config = self.config
        return Names.of(
            config.prefix,
            target.table,
            target.start,
            target.end,
            target.extension,
            numbered=config.max_file_size_mb is not None,
            partitioned=config.partition_rows,
        )


def _mine(names: Names, uploads: Sequence[Upload]) -> Callable[[str], bool]:
    """Which keys lost attempts at the window may have used. Where keys are partitioned, those in the folders of this
    attempt alone: the window's names could be those that another export has for its own."""
    if not names.variables:
        return names.is_own
    folders = {_folder(upload.key) for upload in uploads}
    return lambda key: _folder(key) in folders and names.is_own(key)


def _folder(key: str) -> str:
    return key.rpartition("/")[0]


def _run_error(store: ObjectStore, error: BaseException) -> BaseException:
    """The error to raise: the first of a group, in the run's terms. What ends the attempt, and what nobody foresaw, as
    it is: the traceback of that is wanted."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, LeaseLost) or not isinstance(error, Exception):
        return error
    return store.run_error(error)
