"""The part of a write that others see: every file, a few at a time, then the manifest, then what they replace is
deleted.

All or nothing, as far as a store allows. A commit that fails is taken back. But once a completed run's objects have
been overwritten there is no way back, so one that is merely stopped then goes on to its end.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from app import failpoints
from app.destinations.base import Earlier, Target
from app.destinations.objects.store import NOTHING, ObjectStore, Seen, discard
from app.destinations.objects.together import AT_ONCE, together
from app.destinations.objects.upload import CLEAN_UP_LIMIT, Upload
from app.errors import LeaseLost
from app.streams import see_through

FINISH_LIMIT: Final = 30.0
"""Seconds that a stopped commit may take to come to its end."""
MANY: Final = 1000
"""Files for which either that or cleaning up may take once more as long."""


class Commit:
    """Of one attempt. ``make`` it once; afterwards ``undeleted`` is what it could not delete, and why. ``many``: there
    may be thousands of files, so several become visible at a time.

    ``complete``: everything is visible, though perhaps ``make`` was stopped meanwhile.
    """

    def __init__(
        self,
        store: ObjectStore,
        target: Target,
        earlier: Earlier,
        uploads: Sequence[Upload],
        manifest: Upload | None,
        *,
        many: bool = False,
    ) -> None:
        self.complete = False
        self.undeleted: tuple[str, ...] = ()
        self.reason = ""
        self._store = store
        self._target = target
        self._earlier = earlier
        self._manifest = manifest
        self._many = many
        self._at_once = AT_ONCE if many and not target.gently else 1
        self._asking = asyncio.Lock()
        self._files = list(uploads)
        self._uploads = [*uploads, *([manifest] if manifest is not None else [])]

    async def make(self, beginning: str, is_own: Callable[[str], bool]) -> None:
        """``beginning`` is what all names of the window begin with, ``is_own`` says which attempts may have used.

        :raises LeaseLost: when the run is not this attempt's any more.
        """
        try:
            # A file in parts may also have an upload whose creation was answered to nobody.
            in_parts = any(upload.upload_id is not None for upload in self._uploads)
            others = in_parts or self._target.epoch > 1 or bool(self._earlier.stale) or self._earlier.replaces
            if others and not self._many:
                await self._abort_others(beginning, is_own)
            await self._commit()
            if others and self._many:
                # Only now: before, the list would have been of this attempt's own uploads, by the thousand.
                await self._abort_others(beginning, is_own)
            await self._clear_up()
        except BaseException as error:
            stopped = isinstance(error, asyncio.CancelledError | LeaseLost)
            await see_through(self._after(stopped))
            raise

    async def _clear_up(self) -> None:
        await self._delete(self._earlier.stale)
        self.complete = True

    async def _commit(self, *, unattended: bool = False) -> None:
        """``unattended``: no heartbeat renews the lease any more."""

        async def commit(upload: Upload) -> None:
            if upload.visible:
                return
            if unattended:
                await self._keep()
            # Never cut off half-way: what the store makes of a request that was broken off, nobody would know.
            await see_through(upload.commit(self._owns), CLEAN_UP_LIMIT)
            await failpoints.reach(
                failpoints.MANIFEST_COMMITTED if upload is self._manifest else failpoints.FILE_COMMITTED
            )

        await together(self._files, commit, self._at_once)
        if self._manifest is not None:
            await commit(self._manifest)

    async def _after(self, stopped: bool) -> None:
        """Whatever has to be done once the commit has been broken off."""
        with suppress(Exception):
            if self._earlier.replaces:
                if stopped and any(upload.begun for upload in self._uploads):
                    async with asyncio.timeout(FINISH_LIMIT * (1 + len(self._files) // MANY)):
                        await self._commit(unattended=True)
                        await self._clear_up()
            # Only while nobody else can have the run: after that the same keys may be another attempt's good objects.
            elif await self._target.fence.owns():
                # The manifest first, for it must not list what is not there.
                await clean_up(upload.retract() for upload in self._uploads if upload is self._manifest)
                await clean_up((upload.retract() for upload in self._files), len(self._files))
                await clean_up([self._delete_leftovers()], len(self._files))
        await clean_up((upload.abort() for upload in self._uploads), len(self._files))

    async def _owns(self) -> bool:
        # One question at a time, though several files may have it: each takes a connection to the database.
        async with self._asking:
            return await self._target.fence.owns()

    async def _keep(self) -> None:
        if not await self._owns():
            raise LeaseLost

    async def _delete(self, keys: Sequence[str]) -> None:
        """Delete what an earlier attempt or run has left and this one does not overwrite."""
        if not keys:
            return
        seen = await asyncio.gather(*(self._bounded(self._store.look(key)) for key in keys), return_exceptions=True)
        # Asked after the look, so what is deleted is nothing that a later attempt has written.
        await self._keep()
        there = [(key, one) for key, one in zip(keys, seen, strict=True) if one is not NOTHING]
        ended = await asyncio.gather(
            *(self._bounded(self._delete_one(key, one)) for key, one in there), return_exceptions=True
        )
        failed = [(key, error) for (key, _), error in zip(there, ended, strict=True) if error is not None]
        for _, error in failed:
            if not isinstance(error, self._store.lost):
                raise error
        self.undeleted = tuple(key for key, _ in failed)
        self.reason = self._reason(failed[0][1]) if failed else ""

    async def _delete_one(self, key: str, seen: Seen | BaseException) -> None:
        if isinstance(seen, BaseException):
            raise seen
        await self._store.delete(key, seen)

    async def _bounded(self, request: Coroutine[Any, Any, Any]) -> Any:
        async with self._store.slots:
            return await request

    def _reason(self, error: BaseException) -> str:
        assert isinstance(error, Exception)
        return self._store.may_not_delete if self._store.is_denied(error) else str(self._store.run_error(error))

    async def _delete_leftovers(self) -> None:
        """What lost attempts at a window have left that no run has ever completed: nothing of it may stay."""
        await self._delete(self._earlier.stale)
        run_id, _, _ = self._store.attempt.partition("/")
        if self._target.epoch > 1:
            await discard(self._store, [upload.key for upload in self._uploads], f"{run_id}/")

    async def _abort_others(self, beginning: str, is_own: Callable[[str], bool]) -> None:
        """Abort uploads of attempts that were lost: their parts would be paid for, and such an attempt cannot complete
        one any more when it wakes. Where that is not permitted, they stay."""
        own, stale = {upload.upload_id for upload in self._uploads}, set(self._earlier.stale)
        with suppress(*self._store.lost):
            found = await self._store.uploads(beginning)
            # Asked after the look: uploads of a later attempt are not among what was found.
            await self._keep()
            others = [
                (key, upload_id) for key, upload_id in found if upload_id not in own and (is_own(key) or key in stale)
            ]

            async def abort(other: tuple[str, str]) -> None:
                with suppress(*self._store.lost):
                    await self._store.abort(*other)

            await together(others, abort, self._at_once)


async def clean_up(actions: Iterable[Coroutine[Any, Any, None]], number: int = 1) -> None:
    """Do all of it, in its own time: neither errors nor another cancellation may stop the rest. ``number``: of the
    files that it is about."""

    async def one(action: Coroutine[Any, Any, None]) -> None:
        with suppress(Exception):
            await action

    async def all_of_it() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLEAN_UP_LIMIT * (1 + number // MANY)):
                await together(actions, one)

    await see_through(all_of_it())
