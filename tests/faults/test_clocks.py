"""The host's clock is wrong, jumps, drifts or goes back; and clocks are changed in many countries.

Leases go by the database's clock alone. Windows are cut by arithmetic: whatever the clock says, they tile time.
"""

import random
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select, update

from app.exports.due import DueWindows
from app.models import Export, Run, RunStatus
from app.pipeline.execute import Executor
from app.runs.claim import Claim
from app.runs.claims import ClaimRepository
from app.runtime import Runtime
from app.scheduling.tick import Ticker
from tests.conftest import Clock
from tests.factories import make_export, utc

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
JUMPS: Final = [HOUR, -HOUR, DAY, -DAY, 400 * DAY, -400 * DAY]
START: Final = utc(2026, 1, 1)
SEED: Final = 20260101
ZONES: Final = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia")
PERIODS: Final = {
    "clocks go forward in the north, and back in the south": (utc(2026, 3, 1), utc(2026, 4, 20)),
    "clocks go back in the north, and forward in the south": (utc(2026, 9, 25), utc(2026, 11, 12)),
    "a day is skipped": (utc(2011, 12, 10), utc(2012, 1, 20)),
}
OFFSETS: Final = (0, 2)
"""Hours. At two o'clock is when clocks are changed in most places: some days have no such hour, some have it twice."""
Windows = list[tuple[datetime, datetime]]


class Scheduler:
    """Ticks by the clock that a test sets."""

    def __init__(self, runtime: Runtime, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock
        self._ticker = Ticker(runtime.sessions, clock, DueWindows(timedelta(0), 10_000))

    async def add(self, next_start: datetime, **values: Any) -> UUID:
        async with self._runtime.sessions.begin() as session:
            return (await make_export(session, self._runtime.cipher, next_start=next_start, **values)).id

    async def tick_at(self, *moments: datetime) -> None:
        for moment in moments:
            self._clock.now = moment
            await self._ticker.tick()

    async def windows(self, export_id: UUID) -> Windows:
        async with self._runtime.sessions() as session:
            query = select(Run.data_interval_start, Run.data_interval_end).where(Run.export_id == export_id)
            rows = await session.execute(query.order_by(Run.data_interval_end))
            return [(start, end) for start, end in rows if start is not None]

    async def next_start(self, export_id: UUID) -> datetime:
        async with self._runtime.sessions() as session:
            return (await session.get_one(Export, export_id)).next_start


@pytest.fixture
def scheduler(runtime: Runtime, clock: Clock) -> Scheduler:
    return Scheduler(runtime, clock)


def hours(start: datetime, number: int) -> Windows:
    return list(pairwise(start + n * HOUR for n in range(number + 1)))


# Leases.


async def claimed(runtime: Runtime, scheduler: Scheduler, clock: Clock, jump: timedelta) -> Claim:
    """A claim that a worker has made whose clock is wrong by ``jump``."""
    await scheduler.add(START)
    await scheduler.tick_at(START + HOUR)
    clock.now += jump
    claim = await Executor(runtime, "worker").claim()
    assert claim is not None
    return claim


async def lease_left(runtime: Runtime, run_id: UUID) -> timedelta:
    async with runtime.sessions() as session:
        query = select(Run.lease_until - func.clock_timestamp()).where(Run.id == run_id)
        left: Any = (await session.scalars(query)).one()
    assert isinstance(left, timedelta)
    return left


@pytest.mark.parametrize("jump", JUMPS, ids=str)
async def test_a_clock_that_jumps_during_a_lease_neither_ends_nor_prolongs_it(
    runtime: Runtime, scheduler: Scheduler, clock: Clock, jump: timedelta
) -> None:
    claim = await claimed(runtime, scheduler, clock, timedelta(0))
    await scheduler.tick_at(clock.now + jump)
    async with runtime.sessions.begin() as session:
        claims = ClaimRepository(session)
        assert claim.run_id not in await claims.ready(1000)
        assert await claims.extend(claim)
    assert timedelta(0) < await lease_left(runtime, claim.run_id) <= runtime.settings.lease_ttl
    await Executor(runtime, "worker").execute(claim)
    async with runtime.sessions() as session:
        run = await session.get_one(Run, claim.run_id)
    assert (run.status, run.epoch, run.attempt) == (RunStatus.COMPLETED, 1, 0)


@pytest.mark.parametrize("jump", JUMPS, ids=str)
async def test_a_lease_taken_while_the_clock_is_wrong_lapses_when_the_database_says_so(
    runtime: Runtime, scheduler: Scheduler, clock: Clock, jump: timedelta
) -> None:
    claim = await claimed(runtime, scheduler, clock, jump)
    assert timedelta(0) < await lease_left(runtime, claim.run_id) <= runtime.settings.lease_ttl
    async with runtime.sessions.begin() as session:
        past = func.clock_timestamp() - timedelta(seconds=1)
        await session.execute(update(Run).where(Run.id == claim.run_id).values(lease_until=past))
        assert not await ClaimRepository(session).extend(claim)
    await scheduler.tick_at(clock.now)
    again = await Executor(runtime, "another").claim()
    assert again is not None
    assert (again.run_id, again.epoch) == (claim.run_id, 2)


# Windows.


async def test_a_clock_that_goes_back_makes_nothing_twice_and_leaves_nothing_out(scheduler: Scheduler) -> None:
    export_id = await scheduler.add(START)
    there = START + 5 * HOUR
    await scheduler.tick_at(there, *(there - jump for jump in JUMPS if jump > timedelta(0)))
    assert await scheduler.windows(export_id) == hours(START, 5)
    assert await scheduler.next_start(export_id) == there
    await scheduler.tick_at(there + 2 * HOUR)
    assert await scheduler.windows(export_id) == hours(START, 7)


async def test_what_was_made_while_the_clock_was_ahead_is_not_made_again(scheduler: Scheduler) -> None:
    export_id = await scheduler.add(START)
    await scheduler.tick_at(START + HOUR, START + DAY + HOUR, *(START + n * HOUR for n in range(2, 27)))
    assert await scheduler.windows(export_id) == hours(START, 26)


async def test_schedulers_whose_clocks_drift_apart_make_each_window_once(scheduler: Scheduler) -> None:
    export_id = await scheduler.add(START, interval="every 5 minutes")
    truth = [START + n * timedelta(minutes=1) for n in range(60)]
    drifts = [timedelta(seconds=3 * n) for n in range(60)]
    for moment, drift in zip(truth, drifts, strict=True):
        await scheduler.tick_at(moment + drift, moment, moment - drift)
    step = timedelta(minutes=5)
    last = (truth[-1] + drifts[-1] - START) // step
    assert await scheduler.windows(export_id) == list(pairwise(START + n * step for n in range(last + 1)))


async def test_a_clock_that_wanders_leaves_no_gap_and_no_overlap(scheduler: Scheduler) -> None:
    chance = random.Random(SEED)
    berlin = ZoneInfo("Europe/Berlin")
    midnight = datetime(2026, 3, 1, tzinfo=berlin).astimezone(UTC)
    hourly = await scheduler.add(midnight)
    daily = await scheduler.add(midnight, interval="day", timezone="Europe/Berlin")
    moments = [midnight]
    for _ in range(100):
        moments.append(moments[-1] + timedelta(minutes=chance.randint(-26 * 60, 50 * 60)))
    await scheduler.tick_at(*moments)
    latest = max(moments)
    assert await scheduler.windows(hourly) == hours(midnight, (latest - midnight) // HOUR)
    assert await scheduler.windows(daily) == wanted("Europe/Berlin", "day", 0, midnight, latest)


# Clocks that are changed.


def wanted(zone: str, interval: str, hour: int, start: datetime, end: datetime) -> Windows:
    """What lies between the local moments that calendars name, of each day or Sunday from ``start`` to ``end``."""
    days = [date(2011, 11, 1) + n * DAY for n in range((end.date() - date(2011, 11, 1)).days + 3)]
    named = {
        datetime.combine(day, time(hour), tzinfo=ZoneInfo(zone)).astimezone(UTC)
        for day in days
        if interval == "day" or day.isoweekday() == 7
    }
    return list(pairwise(sorted(moment for moment in named if start <= moment <= end)))


def lengths(windows: Iterable[tuple[datetime, datetime]]) -> set[float]:
    """In hours."""
    return {(end - start) / HOUR for start, end in windows}


@pytest.mark.parametrize("period", PERIODS)
async def test_days_and_weeks_tile_time_where_clocks_are_changed(scheduler: Scheduler, period: str) -> None:
    """By a clock that goes back a day, time and again, on its way."""
    start, end = PERIODS[period]
    exports = {}
    for zone in ZONES:
        for interval in ("day", "week"):
            for hour in OFFSETS:
                [first, *_] = wanted(zone, interval, hour, start, end)
                values = {"interval": interval, "timezone": zone, "interval_offset": hour * 3600}
                exports[zone, interval, hour] = await scheduler.add(first[0], **values)
    step = timedelta(hours=13, minutes=7)
    for number, moment in enumerate(start + n * step for n in range((end - start) // step + 1)):
        await scheduler.tick_at(moment, *([moment - DAY] if number % 7 == 0 else []))
    await scheduler.tick_at(end)
    found = {}
    for (zone, interval, hour), export_id in exports.items():
        found[zone, interval, hour] = windows = await scheduler.windows(export_id)
        assert windows == wanted(zone, interval, hour, start, end), (zone, interval, hour)
    days = {zone: lengths(found[zone, "day", 0]) for zone in ZONES}
    weeks = {zone: lengths(found[zone, "week", 0]) for zone in ZONES}
    assert (days, weeks) == ODD[period]


WEEK: Final = 168.0
ODD: Final[dict[str, tuple[dict[str, set[float]], dict[str, set[float]]]]] = {
    "clocks go forward in the north, and back in the south": (
        {ZONES[0]: {23, 24}, ZONES[1]: {23, 24}, ZONES[2]: {24, 24.5}, ZONES[3]: {24}},
        {ZONES[0]: {WEEK - 1, WEEK}, ZONES[1]: {WEEK - 1, WEEK}, ZONES[2]: {WEEK, WEEK + 0.5}, ZONES[3]: {WEEK}},
    ),
    "clocks go back in the north, and forward in the south": (
        {ZONES[0]: {24, 25}, ZONES[1]: {24, 25}, ZONES[2]: {23.5, 24}, ZONES[3]: {24}},
        {ZONES[0]: {WEEK, WEEK + 1}, ZONES[1]: {WEEK, WEEK + 1}, ZONES[2]: {WEEK - 0.5, WEEK}, ZONES[3]: {WEEK}},
    ),
    "a day is skipped": (
        {zone: {24} for zone in ZONES},
        {ZONES[0]: {WEEK}, ZONES[1]: {WEEK}, ZONES[2]: {WEEK}, ZONES[3]: {WEEK - 24, WEEK}},
    ),
}
"""Hours that days and weeks last there and then, as almanacs have it."""
