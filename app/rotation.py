"""Re-encrypting what is sealed in the database with the newest key, so that older keys can be thrown away."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.crypto import Cipher
from app.db.engine import Sessions
from app.db.repository import Repository
from app.errors import SetupError
from app.models import Export, Integration, NotificationChannels

BATCH = 200
"""Rows of one transaction. The API may wait for their locks, as long as so many small documents take: milliseconds."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A column of ciphertext, and the table's id."""

    table: Table
    column: str


def _sealed() -> Iterator[Sealed]:
    for model, column in (
        (Export, "destination_config"),
        (Integration, "sensitive_config"),
        (NotificationChannels, "webhook_secret"),
    ):
        assert isinstance(model.__table__, Table)
        yield Sealed(model.__table__, column)


SEALED = tuple(_sealed())
"""Every column that holds what a :class:`Cipher` sealed."""


@dataclass
class Rotated:
    """``unreadable``: rows that no key opens, as ``(table, id)``."""

    rotated: int = 0
    current: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)


class SealedRepository(Repository):
    """One sealed column. Deleted exports are rows too: they are kept, and so are their secrets."""

    def __init__(self, session: AsyncSession, sealed: Sealed) -> None:
        super().__init__(session)
        self._table = sealed.table
        self._column = sealed.table.c[sealed.column]

    async def batch(self, after: Any) -> Sequence[tuple[Any, bytes]]:
        """The next rows by id. Locked: a change by the service comes before or after, and is not overwritten."""
        query = select(self._table.c.id, self._column).order_by(self._table.c.id).limit(BATCH)
        if after is not None:
            query = query.where(self._table.c.id > after)
        rows = await self.session.execute(query.with_for_update(key_share=True))
        return [(row_id, sealed) for row_id, sealed in rows]

    async def store(self, resealed: Sequence[tuple[Any, bytes]]) -> None:
        statement = update(self._table).where(self._table.c.id == bindparam("row_id"))
        rows = [{"row_id": row_id, "resealed": sealed} for row_id, sealed in resealed]
        connection = await self.session.connection()
        await connection.execute(statement.values({self._column: bindparam("resealed")}), rows)


async def rotate(sessions: Sessions, cipher: Cipher) -> Rotated:
    """Seal with the newest key whatever is not yet. May be run at any time, and again after it broke off.

    Processes that do not know the newest key yet go on sealing with an older one: run it when they are gone.
    """
    result = Rotated()
    for sealed in SEALED:
        after: Any = None
        while True:
            async with sessions.begin() as session:
                repository = SealedRepository(session, sealed)
                rows = await repository.batch(after)
                if not rows:
                    break
                if changed := _reseal(sealed, rows, cipher, result):
                    await repository.store(changed)
            after = rows[-1][0]
    return result


def _reseal(
    sealed: Sealed, rows: Sequence[tuple[Any, bytes]], cipher: Cipher, result: Rotated
) -> list[tuple[Any, bytes]]:
    """Those of the rows that change."""
    changed = []
    for row_id, document in rows:
        if cipher.is_current(document):
            result.current += 1
            continue
        try:
            changed.append((row_id, cipher.rotate(document)))
        except SetupError:
            result.unreadable.append((sealed.table.name, str(row_id)))
    result.rotated += len(changed)
    return changed
