"""Storing what has come in, over one connection: events, what they say of persons, and what is wrong with them."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

import asyncpg

from app.errors import StoreUnavailable
from app.events.store import Stored, insert_events, store_each
from app.intake.incoming import Incoming
from app.intake.person_store import Conflict, add_versions, read_people
from app.intake.problems import Code, Problem
from app.models import EVENT_STORE_SCHEMA

if TYPE_CHECKING:
    from app.events.store import Connection

LOCK: Final = 0x70656F70
""""peop": of the locks that writers of persons hold, by project."""
STRIPES: Final = 64
"""Projects share so many locks: the server has room for a few thousand in all."""

# Locked in the order of the rows, which is the same whoever asks.
_SHARED: Final = "SELECT pg_advisory_xact_lock_shared($1, stripe) FROM unnest($2::int[]) AS stripe"
_ALONE: Final = "SELECT pg_advisory_xact_lock($1, stripe) FROM unnest($2::int[]) AS stripe"
_THERE: Final = f"""
SELECT there.team_id, there.uuid FROM unnest($1::int[], $2::uuid[]) AS wanted (team_id, uuid)
JOIN {EVENT_STORE_SCHEMA}.events there ON there.team_id = wanted.team_id AND there.uuid = wanted.uuid
"""  # noqa: S608  constants
_ADD_PROBLEMS: Final = f"""
INSERT INTO {EVENT_STORE_SCHEMA}.ingestion_errors (team_id, code, detail, stored, event, distinct_id, event_uuid)
SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::bool[], $5::text[], $6::text[], $7::text[])
"""  # noqa: S608  constants


@dataclass(frozen=True, slots=True)
class Written:
    """What became of events that were stored together. Those that are neither new nor refused came again."""

    new: int
    refused: int
    problems: Sequence[Problem]


class IntakeStore:
    """Writes events, each of them once, as often as they come."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    async def write(self, events: Sequence[Incoming], problems: Sequence[Problem]) -> Written:
        """Durable when this returns: all at once, unless there are events that the store does not take.

        :raises StoreUnavailable: some of them may be stored then.
        """
        found: list[Problem] = []
        waiting = list(problems)

        async def store(some: Sequence[Incoming]) -> int:
            # All that is known to be wrong goes in with all the events; with a half of them it would go in twice.
            also = waiting if len(some) == len(events) else ()
            new, more = await self._commit(some, also)
            found.extend((*also, *more))
            if also:
                waiting.clear()
            return new

        stored = await store_each(events, store) if events else Stored(0, ())
        refused = [_unstorable(events[one.index], one.reason) for one in stored.refused]
        if left := [*waiting, *refused]:
            await self._commit((), left)
        return Written(stored.new, len(refused), [*found, *left])

    async def _commit(self, events: Sequence[Incoming], problems: Sequence[Problem]) -> tuple[int, Sequence[Problem]]:
        try:
            return await self._transaction(events, problems, alone=False)
        except (Conflict, asyncpg.TransactionRollbackError):
            pass
        try:
            # Nobody else of us writes persons of these projects now, so nobody is first again.
            return await self._transaction(events, problems, alone=True)
        except (Conflict, asyncpg.TransactionRollbackError) as error:
            raise StoreUnavailable(f"Somebody else keeps changing the same persons ({type(error).__name__}).") from None

    async def _transaction(
        self, events: Sequence[Incoming], problems: Sequence[Problem], *, alone: bool
    ) -> tuple[int, Sequence[Problem]]:
        connection = self._connection
        async with connection.transaction():
            new, found = 0, list[Problem]()
            if events:
                stripes = sorted({event.project_id % STRIPES for event in events})
                await connection.execute(_ALONE if alone else _SHARED, LOCK, stripes)
                rows = await self._with_persons(events, found)
                new = await insert_events(connection, rows)
            if problems or found:
                columns = zip(*(one.row() for one in (*problems, *found)), strict=True)
                await connection.execute(_ADD_PROBLEMS, *(list(column) for column in columns))
        return new, found

    async def _with_persons(self, events: Sequence[Incoming], found: list[Problem]) -> Sequence[tuple[object, ...]]:
        """Rows of the events that are not there already, with their persons, of whom new versions are stored."""
        people = await read_people(self._connection, events)
        seen: set[tuple[int, UUID]] = set(await self._repeated(events))
        rows = []
        for event in events:
            # An event that comes again says what was true when it came first.
            key = (event.project_id, event.row.uuid)
            if key in seen:
                continue
            seen.add(key)
            person_id, person_properties, problem = people[event.project_id].apply(event)
            uuid, name, distinct_id, _, properties, _, chain, timestamp = event.row
            about = (uuid, name, distinct_id, person_id, properties, person_properties, chain, timestamp)
            rows.append((event.project_id, *about))
            if problem is not None:
                found.append(problem)
        await add_versions(self._connection, people)
        return rows

    async def _repeated(self, events: Sequence[Incoming]) -> Set[tuple[int, UUID]]:
        """Those of events that say something of persons. All others change nothing when they come again."""
        said = [(event.project_id, event.row.uuid) for event in events if event.change is not None]
        if not said:
            return frozenset()
        projects, uuids = zip(*said, strict=True)
        return {(row["team_id"], row["uuid"]) for row in await self._connection.fetch(_THERE, projects, uuids)}


def _unstorable(event: Incoming, reason: str) -> Problem:
    row = event.row
    return Problem(event.project_id, Code.UNSTORABLE, reason, row.event, row.distinct_id, str(row.uuid))
