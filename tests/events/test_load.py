"""Loading files into the event store: everything is stored, or told."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from app.embedded.state import free_port
from app.errors import SetupError, StoreUnavailable
from app.events import load
from app.events.files import LineFile
from app.events.load import Loaded, Rejections, load_lines, rejections_path
from app.events.rows import EventRow
from app.events.sample import sample_lines
from app.events.store import EventWriter, open_writer
from app.settings import Settings

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PROJECT = 7


@pytest.fixture
async def writer(settings: Settings) -> AsyncIterator[EventWriter]:
    async with open_writer(settings.event_store_dsn, connect_timeout=5) as opened:
        yield opened


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(settings.event_store_dsn)
    yield connection
    await connection.close()


@pytest.fixture
def rejections(tmp_path: Path) -> Rejections:
    return Rejections(tmp_path / "rejected.jsonl")


def event(**fields: Any) -> bytes:
    return json.dumps({"uuid": str(uuid4()), "event": "e", "distinct_id": "d", **fields}).encode()


async def load_text(writer: EventWriter, rejections: Rejections, *lines: bytes) -> Loaded:
    source = LineFile("test", io.BytesIO(b"\n".join(lines)), None)
    return await load_lines(source, writer, PROJECT, NOW, rejections)


def rejected(rejections: Rejections) -> list[dict[str, Any]]:
    return [json.loads(line) for line in rejections.path.read_text().splitlines()]


async def test_events_are_stored_with_the_time_they_came_in(
    writer: EventWriter, store: "asyncpg.Connection[asyncpg.Record]", rejections: Rejections
) -> None:
    before = await store.fetchval("SELECT clock_timestamp()")
    loaded = await load_text(writer, rejections, event(timestamp="2020-01-01T00:00:00Z", properties={"a": 1}))
    assert loaded == Loaded(lines=1, stored=1)
    row = await store.fetchrow("SELECT * FROM event_store.events")
    assert row is not None
    assert (row["team_id"], row["event"], row["properties"]) == (PROJECT, "e", '{"a": 1}')
    assert row["timestamp"] == datetime(2020, 1, 1, tzinfo=UTC)
    assert before <= row["inserted_at"] <= await store.fetchval("SELECT clock_timestamp()")
    assert not rejections.path.exists()


async def test_the_same_uuid_is_stored_once_within_a_file_and_across_files(
    writer: EventWriter, store: "asyncpg.Connection[asyncpg.Record]", rejections: Rejections
) -> None:
    twice, once = event(), event()
    assert await load_text(writer, rejections, twice, twice) == Loaded(lines=2, stored=1, duplicates=1)
    assert await load_text(writer, rejections, twice, once) == Loaded(lines=2, stored=1, duplicates=1)
    assert await store.fetchval("SELECT count(*) FROM event_store.events") == 2


async def test_two_projects_may_have_the_same_uuid(writer: EventWriter, rejections: Rejections) -> None:
    line = event()
    await load_text(writer, rejections, line)
    source = LineFile("test", io.BytesIO(line), None)
    assert (await load_lines(source, writer, PROJECT + 1, NOW, rejections)).stored == 1


async def test_bad_lines_are_kept_with_their_number_and_reason(
    writer: EventWriter, rejections: Rejections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "BATCH_LINES", 2)
    lines = (event(), b"", b"{broken", event(), event(event=""), b"\xff", event())
    assert await load_text(writer, rejections, *lines) == Loaded(lines=6, stored=3, rejected=3)
    assert [(one["line"], one["text"]) for one in rejected(rejections)] == [
        (3, "{broken"),
        (5, lines[4].decode()),
        (6, "\N{REPLACEMENT CHARACTER}"),
    ]
    assert "not valid JSON" in rejected(rejections)[0]["reason"]


async def test_many_blank_lines_are_no_end_of_the_file(
    writer: EventWriter, rejections: Rejections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "BATCH_LINES", 2)
    assert await load_text(writer, rejections, event(), *[b" "] * 10, event()) == Loaded(lines=2, stored=2)


async def test_what_only_postgres_refuses_is_found_and_the_rest_is_stored(
    writer: EventWriter, rejections: Rejections
) -> None:
    # Valid JSON, but deeper than Postgres' own stack lets it look.
    deep = event(properties=0).replace(b'"properties": 0', b'"properties": {"a":' + b"[" * 900 + b"]" * 900 + b"}")
    huge = event(timestamp="9999-12-31T23:59:59Z")
    connection = writer._connection
    await connection.execute("SET max_stack_depth = '100kB'")
    lines = [*(event() for _ in range(5)), deep, *(event() for _ in range(5)), huge]
    assert await load_text(writer, rejections, *lines) == Loaded(lines=12, stored=11, rejected=1)
    [one] = rejected(rejections)
    assert one["line"] == 6
    assert "stack depth limit exceeded" in one["reason"]


async def test_poison_spoils_nothing_but_its_own_line(
    writer: EventWriter, rejections: Rejections, store: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    taken = {
        '{"n":1e400,"i":18446744073709551616,"z":-0}': '{"n":1e400,"i":18446744073709551616,"z":-0}',
        r'{"a\u0000":"\ud800","b":"\\u0000"}': r'{"a":"","b":"\\u0000"}',
        f'{{"{"k" * 100_000}":"{"x" * 10_000_000}"}}': f'{{"{"k" * 100_000}":"{"x" * 10_000_000}"}}',
        '{\t"a" :  [ 1 ]}': '{\t"a" :  [ 1 ]}',
    }
    refused = [
        '{"a":NaN}',
        '{"a":' + "[" * 50_000 + "]" * 50_000 + "}",
        r'{"a":"\ug000"}',
        '{"a":"\x00"}',
        '{"a":1',
        "[]",
    ]
    template = event(properties=0)
    lines = [
        template.replace(b'"properties": 0', b'"properties": ' + text.encode()).replace(b'"e"', f'"{number}"'.encode())
        for number, text in enumerate([*taken, *refused])
    ]
    lines = [line.replace(json.loads(template)["uuid"].encode(), str(uuid4()).encode()) for line in lines]
    loaded = await load_text(writer, rejections, *lines, event())
    assert loaded == Loaded(lines=11, stored=5, sanitised=1, rejected=6)
    assert [one["line"] for one in rejected(rejections)] == [5, 6, 7, 8, 9, 10]
    assert all(one["reason"] for one in rejected(rejections))
    stored = await store.fetch("SELECT properties FROM event_store.events WHERE event <> 'e' ORDER BY event")
    assert [row["properties"] for row in stored] == list(taken.values())


async def test_sanitised_events_are_counted(writer: EventWriter, rejections: Rejections) -> None:
    loaded = await load_text(writer, rejections, event(properties={"a": "\0"}), event(properties={"a": "\ud800"}))
    assert loaded == Loaded(lines=2, stored=2, sanitised=2)


async def test_what_came_before_the_end_of_a_broken_file_is_stored(
    writer: EventWriter, rejections: Rejections, store: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    class Broken(LineFile):
        def lines(self) -> Any:
            yield 1, event()
            yield 2, event()
            raise SetupError("events.gz cannot be read beyond line 2: cut off")

    with pytest.raises(SetupError, match="beyond line 2"):
        await load_lines(Broken("events.gz", io.BytesIO(), None), writer, PROJECT, NOW, rejections)
    assert await store.fetchval("SELECT count(*) FROM event_store.events") == 2


async def test_progress_is_told_batch_by_batch(
    writer: EventWriter, rejections: Rejections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "BATCH_LINES", 4)
    seen: list[int] = []
    source = LineFile("test", io.BytesIO(b"\n".join(event() for _ in range(10))), None)
    await load_lines(source, writer, PROJECT, NOW, rejections, lambda loaded: seen.append(loaded.stored))
    assert seen == [4, 8, 10]


async def test_large_lines_make_small_batches(
    writer: EventWriter, rejections: Rejections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "BATCH_BYTES", 100_000)
    seen: list[int] = []
    lines = [event(properties={"a": "x" * 60_000}) for _ in range(5)]
    source = LineFile("test", io.BytesIO(b"\n".join(lines)), None)
    await load_lines(source, writer, PROJECT, NOW, rejections, lambda loaded: seen.append(loaded.stored))
    assert seen == [2, 4, 5]


async def test_an_event_store_that_goes_away_is_an_error(
    settings: Settings, store: "asyncpg.Connection[asyncpg.Record]", rejections: Rejections
) -> None:
    async with open_writer(settings.event_store_dsn, connect_timeout=5) as writer:
        pid = await writer._connection.fetchval("SELECT pg_backend_pid()")
        await store.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(StoreUnavailable):
            await load_text(writer, rejections, event())


async def test_an_event_store_that_does_not_answer_is_an_error() -> None:
    with pytest.raises(StoreUnavailable):
        async with open_writer(f"postgresql://postgres@127.0.0.1:{free_port()}/x", connect_timeout=5):
            pass


def test_rejections_lie_beside_the_file() -> None:
    assert rejections_path("some/events.jsonl.gz") == Path("some/events.jsonl.gz.rejected.jsonl")
    assert rejections_path("-") == Path("stdin.rejected.jsonl")


def test_samples_are_the_same_for_the_same_seed_and_lie_in_their_range() -> None:
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    lines = list(sample_lines(1000, start, end))
    assert lines == list(sample_lines(1000, start, end))
    assert lines != list(sample_lines(1000, start, end, seed=2))
    times = [datetime.fromisoformat(json.loads(line)["timestamp"]) for line in lines]
    assert times == sorted(times)
    assert start <= times[0] <= times[-1] < end
    assert 400 < sum(map(len, lines)) / len(lines) < 650
    assert len({json.loads(line)["uuid"] for line in lines}) == 1000


async def test_events_lie_in_the_store_in_the_order_of_their_time(
    writer: EventWriter, store: "asyncpg.Connection[asyncpg.Record]", rejections: Rejections
) -> None:
    times = [NOW - timedelta(minutes=minute) for minute in (3, 1, 5, 2, 4)]
    await load_text(writer, rejections, *(event(timestamp=time.isoformat()) for time in times))
    rows = await store.fetch("SELECT timestamp FROM event_store.events ORDER BY ctid")
    assert [row["timestamp"] for row in rows] == sorted(times)


async def test_writers_that_wait_for_one_another_both_store_their_events(
    writer: EventWriter, store: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Two know the same two events, with times in opposite order, so that each stores first what the other stores
    last."""
    first, second = [
        EventRow(uuid4(), "e", "d", None, "{}", None, "", NOW + timedelta(seconds=second)) for second in range(2)
    ]
    later = NOW + timedelta(hours=1)
    insert = (
        "INSERT INTO event_store.events (team_id, uuid, event, distinct_id, properties, timestamp) "
        "VALUES ($1, $2, 'other', 'd', '{}', $3)"
    )
    # Whoever waits longest for the other is the one that the database ends: the writer under test.
    await store.execute("SET deadlock_timeout = '1h'")
    async with store.transaction():
        await store.execute(insert, PROJECT, second.uuid, NOW)
        writing = asyncio.create_task(writer.write(PROJECT, [first, second]))
        while not await store.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
        await store.execute(insert, PROJECT, first.uuid, later)
    assert (await writing).new == 0
    assert await store.fetchval("SELECT count(*) FROM event_store.events WHERE event = 'other'") == 2
