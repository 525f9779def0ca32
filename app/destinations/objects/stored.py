"""What lies in an object store already: looked for, and read back."""

from collections.abc import Callable, Sequence
from pathlib import Path

from app.destinations.base import Fetched, Target
from app.destinations.keys import Names
from app.destinations.objects.store import ObjectStore


class StoredObjects:
    """What :class:`app.destinations.base.Stored` asks for."""

    def __init__(self, store: ObjectStore, names: Callable[[Target], Names]) -> None:
        self._store = store
        self._names = names

    async def fetch(self, key: str, path: Path) -> Fetched | None:
        try:
            return await self._store.fetch(key, path)
        except self._store.lost as error:
            raise self._store.run_error(error) from None

    async def keys(self, target: Target) -> Sequence[str] | None:
        names = self._names(target)
        try:
            found = await self._store.keys(names.beginning)
        except self._store.lost as error:
            if self._store.is_denied(error):
                return None
            raise self._store.run_error(error) from None
        return [key for key in found if names.is_own(key)]
