"""Every few seconds something breaks, drawn from one seeded list. Things that have nothing to do with one another may
be broken at the same time."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

import httpx
from redis.exceptions import RedisError

from app.db.engine import DATABASE_ERRORS
from tests.soak.crew import ELDER, SETTINGS, WORKERS, Crew
from tests.soak.people import NothingToDo, People
from tests.soak.trouble import S3Weather, Services, Trouble

PAUSE: Final = (1.5, 4.0)
"""Seconds from one fault to the next."""
LEASE: Final = float(SETTINGS["lease_ttl"])


@dataclass(frozen=True)
class Fault:
    """``of`` what: there is one fault of each thing at a time."""

    name: str
    of: str
    make: Trouble


class Faults:
    def __init__(
        self,
        crew: Crew,
        services: Services,
        weather: S3Weather,
        people: People,
        chance: random.Random,
        diary: Path,
    ) -> None:
        self._crew = crew
        self._chance = chance
        self._list = [
            *(Fault("worker killed", f"worker {place}", self._signal(place, signal.SIGKILL)) for place in _mortals()),
            *(
                Fault("worker told to end", f"worker {place}", self._signal(place, signal.SIGTERM))
                for place in _mortals()
            ),
            *(Fault("worker asleep", f"worker {place}", self._sleep(place)) for place in range(WORKERS)),
            Fault("Postgres restarted", "postgres", services.restart_postgres),
            Fault("Postgres crashed", "postgres", services.crash_postgres),
            *(2 * [Fault("Postgres sessions ended", "postgres", services.end_sessions)]),
            Fault("Valkey restarted", "valkey", services.restart_valkey),
            Fault("Valkey frozen", "valkey", services.freeze_valkey),
            Fault("Valkey emptied", "valkey", services.empty_valkey),
            Fault("S3 restarted", "s3", services.restart_s3),
            *(Fault(name, "the way to s3", make) for name, make in weather.kinds().items()),
            Fault("ticks and hints twenty times", "people", people.tick_and_hint),
            *(2 * [Fault("run cancelled, and retried", "people", people.cancel_and_retry)]),
            Fault("export paused, and unpaused", "people", people.pause_and_unpause),
            Fault("ten retries at once", "people", people.retry_ten_times),
        ]
        self._diary = diary.open("w")
        self._busy: dict[str, asyncio.Task[None]] = {}
        self.made: Counter[str] = Counter()
        self.not_made: Counter[str] = Counter()
        self.strange: list[str] = []
        """What nobody had expected to come of a fault."""

    @property
    def names(self) -> Mapping[str, None]:
        return dict.fromkeys(fault.name for fault in self._list)

    async def go_on(self, until: float) -> None:
        """Until that moment of the monotonic clock; returns when everything that was broken is whole again."""
        began = monotonic()
        while monotonic() < until:
            fault = self._chance.choice(self._list)
            if fault.of not in self._busy:
                self._note(f"{monotonic() - began:7.1f} {fault.name}: {fault.of}")
                self._busy[fault.of] = asyncio.create_task(self._make(fault))
            await asyncio.sleep(self._chance.uniform(*PAUSE))
        while self._busy:
            await asyncio.gather(*self._busy.values())

    async def _make(self, fault: Fault) -> None:
        try:
            await fault.make()
        except (*DATABASE_ERRORS, RedisError, httpx.HTTPError, NothingToDo) as error:
            # What it needs is broken already.
            self.not_made[fault.name] += 1
            self._note(f"        not made, {type(error).__name__}: {fault.name}")
        except Exception as error:
            self.strange.append(f"{fault.name}: {error!r}")
        else:
            self.made[fault.name] += 1
        finally:
            del self._busy[fault.of]

    def _note(self, line: str) -> None:
        self._diary.write(f"{line}\n")
        self._diary.flush()

    def _signal(self, place: int, number: signal.Signals) -> Trouble:
        async def send() -> None:
            worker = self._crew.at.get(place)
            if worker is None:
                raise ProcessLookupError
            worker.process.send_signal(number)

        return send

    def _sleep(self, place: int) -> Trouble:
        """Until its leases are others', and then it goes on."""

        async def sleep() -> None:
            await self._signal(place, signal.SIGSTOP)()
            try:
                await asyncio.sleep(LEASE * self._chance.uniform(1.1, 2))
            finally:
                with suppress(ProcessLookupError):
                    await self._signal(place, signal.SIGCONT)()

        return sleep


def _mortals() -> range:
    return range(ELDER + 1, WORKERS)
