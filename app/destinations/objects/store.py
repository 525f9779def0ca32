"""The seam within: a container of objects, as one attempt at a run sees it.

An attempt that was asleep for longer than its lease may wake right before a request. Its last check came before that,
so the request itself says what it expects to find: nothing, or the very object that was seen while the run was surely
this attempt's. A store that knows conditional requests refuses it otherwise; of others nothing more can be had than the
check.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from app.destinations.base import Fetched
from app.destinations.objects.body import Body
from app.destinations.objects.together import together

PARTS_IN_FLIGHT: Final = 3
"""Per run. With the part that is being gathered they hold 32 MiB, which two runs in 512 MiB can afford."""
ATTEMPT_KEY: Final = "batch-exports-attempt"
"""Metadata on every object: which attempt wrote it. Tells a commit whose answer was lost from one that failed."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the store shows under a key."""

    size: int
    attempt: str | None
    etag: str

    def is_of(self, attempt: str) -> bool:
        """Whether that attempt wrote it (``<run id>/<epoch>``), or any of that run (``<run id>/``)."""
        written_by = self.attempt or ""
        return written_by.startswith(attempt) if attempt.endswith("/") else written_by == attempt


NOTHING: Final = Seen(-1, None, "")
HIDDEN: Final = Seen(-2, None, "")
"""The credentials may write only, so nothing can be seen. Expected, it is no condition."""


@dataclass(slots=True)
class ObjectStore(ABC):
    """A container. Every object that is created in it names ``attempt`` in its metadata.

    Methods raise what the store's client raises; :attr:`lost` lists all of that, and the questions below tell it apart.
    Requests whose effect others see take what they expect to find.
    """

    lost: ClassVar[tuple[type[Exception], ...]]
    """Everything that a request may fail with."""
    may_not_delete: ClassVar[str]
    """What to say of credentials that do not allow it."""

    name: str
    """Of the container."""
    where: str
    """The container and its store, as error texts name them; without secrets."""
    attempt: str
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PARTS_IN_FLIGHT), kw_only=True)

    @abstractmethod
    async def probe(self, beginning: str) -> None:
        """See, in one request that changes nothing, that the container is there and knows the credentials. Those that
        may only write below ``beginning`` are enough."""

    @abstractmethod
    async def look(self, key: str) -> Seen:
        """What is there: an object, :data:`NOTHING`, or :data:`HIDDEN`."""

    @abstractmethod
    async def keys(self, beginning: str) -> Sequence[str]:
        """Of all visible objects whose keys begin so."""

    @abstractmethod
    async def fetch(self, key: str, path: Path) -> Fetched | None:
        """Copy an object to a file. None: it is not there."""

    @abstractmethod
    async def put(self, key: str, data: Body, expected: Seen) -> str:
        """Make a small object visible, in one request. Returns its entity tag."""

    @abstractmethod
    async def begin(self, key: str) -> str:
        """The id of a new upload in parts, of which nothing is visible until :meth:`complete`."""

    @abstractmethod
    async def send(self, key: str, upload: str, number: int, data: Body) -> str:
        """Part ``number``, from 1. Returns what :meth:`complete` names it by."""

    @abstractmethod
    async def complete(self, key: str, upload: str, parts: Sequence[str], expected: Seen) -> str:
        """Make an upload visible; ``parts`` in their order. Returns the object's entity tag."""

    @abstractmethod
    async def abort(self, key: str, upload: str) -> None:
        """Throw the parts of an upload away."""

    @abstractmethod
    async def uploads(self, beginning: str) -> Sequence[tuple[str, str]]:
        """Key and id of every upload whose key begins so, and that :meth:`abort` is still of use for."""

    @abstractmethod
    async def delete(self, key: str, seen: Seen) -> None:
        """Delete what was seen; nothing that has taken its place since, as far as the store can tell them apart. What
        is gone already is no error."""

    @abstractmethod
    def is_conflict(self, error: Exception) -> bool:
        """Whether something else was there than expected, or somebody else changed the object at that moment."""

    @abstractmethod
    def is_denied(self, error: Exception) -> bool:
        """Whether the store knows the credentials, and does not let them do this."""

    @abstractmethod
    def may_have_worked(self, error: Exception) -> bool:
        """Whether the store may have done what it was asked all the same, because only its answer was lost."""

    @abstractmethod
    def run_error(self, error: Exception) -> Exception:
        """What an error means for a run; one that is not in :attr:`lost` is given back. The store's own words are never
        passed on: they may hold secrets."""


async def discard(store: ObjectStore, keys: Sequence[str], attempt: str = "") -> None:
    """Delete objects, as long as they stay as they are found; only those of one attempt or run, if one is named."""

    async def one(key: str) -> None:
        seen = await store.look(key)
        if seen is not NOTHING and (not attempt or seen.is_of(attempt)):
            await store.delete(key, seen)

    await together(keys, one)
