"""Putting files into an object store: everything is sent first, and becomes visible only when all of it is there.

A file is sent in parts as it is encoded, a few parts at a time, so memory is bounded whatever its size. The upload is
completed by :meth:`Upload.commit`; until then the store lists nothing.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Final

from app import failpoints
from app.destinations.base import WrittenFile
from app.destinations.objects.body import Body, Gathered
from app.destinations.objects.store import HIDDEN, NOTHING, ObjectStore, Seen
from app.errors import DataError, LeaseLost, Transient
from app.streams import Data, FileEnd, Partition, see_through

MIB: Final = 1024 * 1024
PART_BYTES: Final = 8 * MIB
"""Of the first parts. Large enough that a request's latency does not count."""
PARTS_PER_SIZE: Final = 2000
"""Parts double in size after so many: the ceiling of 10,000 parts then lies at about half a terabyte."""
MAX_PARTS: Final = 10_000
"""S3's own limit; others take as many at the least."""
CLEAN_UP_LIMIT: Final = 10.0
"""Seconds that cleaning up after a failed write may take, or that a cancelled one may put off its end, so as not to
leave a request half-done. What is left after that is an upload that nobody sees."""


def part_bytes(number: int) -> int:
    """How large part ``number`` (from 1) is, unless it is the last."""
    return PART_BYTES << ((number - 1) // PARTS_PER_SIZE)


def largest_file() -> int:
    """Bytes after which a file must end. A tenth of what all parts hold is left for what one batch more may bring."""
    return sum(part_bytes(number) for number in range(1, MAX_PARTS + 1)) * 9 // 10


class Upload:
    """One file on its way. ``add`` until it is whole, then ``commit``; ``abort`` and ``retract`` leave nothing."""

    def __init__(
        self, store: ObjectStore, key: str, parts: asyncio.TaskGroup | None, partition: Partition = ()
    ) -> None:
        self.key = key
        self.partition = partition
        self.rows = 0
        self.bytes = 0
        self.end: FileEnd | None = None
        self.upload_id: str | None = None
        self.begun = False
        """Whether a commit may have made it visible."""
        self.visible = False
        self._store = store
        self._tasks = parts
        self._gathered = Gathered()
        self._number = 0
        self._parts: dict[int, str] = {}
        self._sent = 0
        self._own: Seen | None = None
        """What the store has under the key since our commit, when that is known."""

    @classmethod
    def of_whole(cls, store: ObjectStore, key: str, data: bytes) -> "Upload":
        """A small file, sent in one piece by its commit."""
        upload = cls(store, key, None)
        upload.bytes = len(data)
        upload.end = FileEnd(hashlib.sha256(data).hexdigest(), None, None)
        upload._gathered.add(data)
        return upload

    @property
    def written(self) -> WrittenFile:
        assert self.end is not None
        return WrittenFile(
            self.key, self.rows, self.bytes, self.end.sha256, self.end.min_timestamp, self.end.max_timestamp
        )

    async def add(self, data: Data, rows: int) -> None:
        """Waits while too many parts are in flight: that is the backpressure."""
        self.rows += rows
        self.bytes += len(data)
        self._gathered.add(data)
        while self._gathered.size >= (size := part_bytes(self._number + 1)):
            await self._send(self._gathered.take(size))

    async def send_rest(self, *, waits: bool) -> None:
        """Nothing more comes. A file below the size of one part that ``waits`` is sent by its commit, in one request;
        others are sent now, so that many small files do not gather in memory."""
        if self.upload_id is not None or not waits:
            if self._number == 0:
                await self._send_whole(self._gathered.take(self._gathered.size))
            elif self._gathered.size:
                await self._send(self._gathered.take(self._gathered.size))

    async def commit(self, owns: Callable[[], Awaitable[bool]]) -> None:
        """Make the file visible, and see that it is all there.

        What lies under its key already is overwritten only if it lay there while the run was this attempt's, which
        ``owns`` says.

        :raises LeaseLost: when somebody else has the run by now.
        :raises Transient: when somebody else changes the object at this moment, or the store holds another size than
            was sent.
        """
        there = await self._reveal(NOTHING)
        if there is not None:
            # Asked after the look, so what was seen is nothing that a later attempt has written.
            if not await owns():
                raise LeaseLost
            there = await self._reveal(there)
        if there is not None:
            raise Transient(f"{self._store.where}: somebody else writes object '{self.key}'")
        self.visible = True
        self.upload_id = None

    async def retract(self) -> None:
        """Take back what was committed, and nothing that another attempt has put there. Errors are the caller's to
        ignore."""
        if self.begun and (self._own is not None or await self._is_there()):
            assert self._own is not None
            await self._store.delete(self.key, self._own)

    async def abort(self) -> None:
        """Leave nothing behind. Errors are the caller's to ignore."""
        if self.upload_id is not None:
            await self._store.abort(self.key, self.upload_id)
            self.upload_id = None

    async def _send(self, part: Body) -> None:
        if self._number == MAX_PARTS:
            raise DataError(f"'{self.key}' needs more than {MAX_PARTS} parts; set 'max_file_size_mb'")
        if self.upload_id is None:
            # Seen through: an upload whose id nobody learned could never be aborted.
            await see_through(self._create(), CLEAN_UP_LIMIT)
        assert self._tasks is not None
        assert self.upload_id is not None
        self._number += 1
        await self._store.slots.acquire()
        self._tasks.create_task(self._send_part(self.upload_id, self._number, part))

    async def _send_whole(self, data: Body) -> None:
        """As one part. The next file need not wait until this one's upload has been created."""
        assert self._tasks is not None
        self._number = 1
        await self._store.slots.acquire()
        self._tasks.create_task(self._create_and_send(data))

    async def _create_and_send(self, data: Body) -> None:
        try:
            await see_through(self._create(), CLEAN_UP_LIMIT)
        except BaseException:
            self._store.slots.release()
            raise
        assert self.upload_id is not None
        await self._send_part(self.upload_id, 1, data)

    async def _create(self) -> None:
        self.upload_id = await self._store.begin(self.key)

    async def _send_part(self, upload_id: str, number: int, part: Body) -> None:
        try:
            self._parts[number] = await self._store.send(self.key, upload_id, number, part)
            self._sent += len(part)
        finally:
            self._store.slots.release()
        await failpoints.reach(failpoints.PART_SENT)

    async def _reveal(self, expected: Seen) -> Seen | None:
        """None: it is visible. Otherwise what is under the key instead of what was expected there."""
        try:
            etag = await self._request(expected)
        except self._store.lost as error:
            conflict = self._store.is_conflict(error)
            # Of the requests that the client has sent, the one before may have worked.
            self.begun = conflict or self._store.may_have_worked(error)
            if conflict:
                there = await self._store.look(self.key)
                return None if self._is_own(there) else there
            if not self.begun or not await self._is_there():
                raise
            return None
        self.begun = True
        self._own = Seen(self.bytes, self._store.attempt, etag)
        seen = await self._store.look(self.key)
        if seen is not HIDDEN and seen.size != self.bytes:
            raise Transient(f"{self._store.where}: object '{self.key}' is not there as it was sent")
        return None

    async def _request(self, expected: Seen) -> str:
        # Whatever interrupts it, it may have been heard.
        self.begun = True
        if self.upload_id is None:
            return await self._store.put(self.key, self._gathered.whole(), expected)
        numbers = sorted(self._parts)
        assert numbers == list(range(1, self._number + 1)), f"parts {numbers} of {self._number}"
        assert self._sent == self.bytes, f"{self._sent} bytes sent of {self.bytes}"
        return await self._store.complete(
            self.key, self.upload_id, [self._parts[number] for number in numbers], expected
        )

    async def _is_there(self) -> bool:
        """Whether the store shows this very file, and not one that another attempt has put in its place."""
        try:
            async with asyncio.timeout(CLEAN_UP_LIMIT):
                return self._is_own(await self._store.look(self.key))
        except self._store.lost:
            return False

    def _is_own(self, seen: Seen) -> bool:
        own = (seen.size, seen.attempt) == (self.bytes, self._store.attempt)
        if own:
            self._own = seen
        return own
