"""Those who write events: all the time, on several connections, with transactions that stay open or are rolled back.

What became of each transaction is put down in a file of plain lines, and nowhere else does the judge know it from.
"""

import asyncio
import json
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg

from app.db.engine import DATABASE_ERRORS
from tests.faults.oracle import Truth
from tests.soak.patience import PATIENCE, PAUSE, persist

WRITERS: Final = 4
APPLICATION: Final = "soak writer"
ROLLED_BACK: Final = 0.1
"""Share of the transactions."""
LEFT_OPEN: Final = 0.1
"""Share of the transactions that stay open for some seconds, past the ends of windows."""
SLEEPS: Final = (10.0, 60.0)
"""Seconds for which the one sleeping transaction stays open."""
RESTS: Final = (30.0, 60.0)
"""Seconds between two of them: while one is open, no window that ends after its beginning is read."""

CUT_OFF: Final = (*DATABASE_ERRORS, asyncpg.InternalClientError)
"""The last one is what the driver says of a connection that ends between two messages of one statement."""

INSERT: Final = (
    "INSERT INTO event_store.events (uuid, team_id, event, distinct_id, properties, timestamp, inserted_at) "
    "VALUES ($1, $2, 'event', 'user', $3::json, clock_timestamp(), coalesce($4, clock_timestamp())) "
    "RETURNING inserted_at"
)


@dataclass(frozen=True)
class Team:
    """A project that gets events, and how many bytes each of them has."""

    id: int
    size: int


class Ground:
    """The file of what was written, and the same for the oracle."""

    def __init__(self, path: Path, truth: Truth) -> None:
        self._file = path.open("w")
        self._truth = truth
        self.outcomes = {"committed": 0, "rolled back": 0}
        self.unsure = 0
        self.rows = 0

    def note(self, team: Team, events: Sequence[tuple[UUID, datetime]], outcome: str) -> None:
        self.outcomes[outcome] += 1
        line = {"outcome": outcome, "team": team.id, "events": [(str(uuid), str(moment)) for uuid, moment in events]}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if outcome == "committed":
            self.rows += len(events)
            self._truth.note(team.id, events)


@dataclass
class Writer:
    """One connection. It makes a new one whenever it has lost it."""

    url: str
    ground: Ground
    chance: random.Random
    name: str
    _connection: Any = field(default=None, init=False)

    async def write(self, team: Team, moments: Sequence[datetime | None], open_for: float, *, commit: bool) -> bool:
        """One event for each moment of ingestion, None: now. False: they have not been committed."""
        wanted = [(uuid4(), moment) for moment in moments]
        properties = json.dumps({"padding": "x" * team.size})
        inserted: list[tuple[UUID, datetime]] = []
        outcome = "rolled back"
        try:
            connection = await self._connected()
            transaction = connection.transaction()
            await transaction.start()
            for uuid, moment in wanted:
                inserted.append((uuid, await connection.fetchval(INSERT, uuid, team.id, properties, moment)))
            await asyncio.sleep(open_for)
            if commit:
                await transaction.commit()
                outcome = "committed"
            else:
                await transaction.rollback()
        except CUT_OFF:
            outcome = await persist(lambda: self._outcome([uuid for uuid, _ in wanted]))
        self.ground.note(team, inserted, outcome)
        return outcome == "committed"

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self.url, ssl=False, timeout=5, server_settings={"application_name": self.name}
            )
        return self._connection

    async def _outcome(self, uuids: Sequence[UUID]) -> str:
        """How a transaction ended whose connection was lost: its rows tell, once its session is over."""
        self.ground.unsure += 1
        if self._connection is not None:
            self._connection.terminate()
        connection = await self._connected()
        sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid()"
        async with asyncio.timeout(PATIENCE):
            while await connection.fetchval(sessions, self.name):
                await asyncio.sleep(PAUSE)
        found = await connection.fetchval("SELECT count(*) FROM event_store.events WHERE uuid = ANY($1)", uuids)
        assert found in (0, len(uuids)), f"half a transaction is there: {found} rows of {len(uuids)}"
        return "committed" if found else "rolled back"


class Intake:
    """All writers together, until told to stop. What they have begun then, they end."""

    def __init__(self, url: str, ground: Ground, teams: Sequence[Team], chance: random.Random) -> None:
        self._url = url
        self._ground = ground
        self._teams = teams
        self._chance = chance
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def writer(self, name: str) -> Writer:
        return Writer(self._url, self._ground, random.Random(self._chance.random()), f"{APPLICATION} {name}")

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._keep_writing(self.writer(str(number)))) for number in range(WRITERS)]
        self._tasks.append(asyncio.create_task(self._sleep_and_commit(self.writer("asleep"))))

    async def stop(self) -> None:
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    async def _keep_writing(self, writer: Writer) -> None:
        chance = writer.chance
        while not self._stopping.is_set():
            left_open = chance.random() < LEFT_OPEN
            seconds = chance.uniform(1, 8) if left_open else chance.uniform(0, 0.1)
            commit = chance.random() >= ROLLED_BACK
            await writer.write(chance.choice(self._teams), [None] * chance.randint(1, 8), seconds, commit=commit)
            await self._pause(chance.uniform(0, 0.1))
        await writer.close()

    async def _sleep_and_commit(self, writer: Writer) -> None:
        chance = writer.chance
        while not self._stopping.is_set():
            await self._pause(chance.uniform(*RESTS))
            team = chance.choice(self._teams)
            await writer.write(team, [None] * 5, chance.uniform(*SLEEPS), commit=chance.random() >= ROLLED_BACK)
        await writer.close()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
