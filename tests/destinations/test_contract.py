"""What every destination promises, in every format and compression it stores."""

import asyncio
import hashlib
from typing import Any

import pytest

from app.destinations import DESTINATIONS
from app.destinations.base import Fence, Written
from app.destinations.files import FORMAT_COMPRESSIONS
from app.destinations.objects import upload
from app.embedded import Stack
from app.errors import LeaseLost, RunError, SourceUnavailable
from tests.destinations.harness import HARNESSES, UNFENCED, Harness, ScriptedFence, make_target
from tests.destinations.rows import Tape, make_tape, read_file

Case = tuple[str, str | None, str | None]


def cases() -> list[Case]:
    """Every destination; those that store files, in every format and compression of the contract's matrix."""
    found: list[Case] = []
    for name in HARNESSES:
        destination = DESTINATIONS[name]
        for file_format in destination.formats:
            found += [(name, file_format, codec) for codec in (None, *FORMAT_COMPRESSIONS[file_format])]
        if not destination.formats:
            found.append((name, None, None))
    return found


class Subject:
    """One destination in one format, in a place of its own."""

    def __init__(self, harness: Harness, case: Case) -> None:
        self.harness = harness
        _, self.format, self.compression = case
        self.config = {} if self.format is None else {"file_format": self.format, "compression": self.compression}

    async def write(self, batches: Any, fence: Fence = UNFENCED, **config: Any) -> Written:
        destination = self.harness.make(**self.config, **config)
        return await destination.write(batches, make_target(destination, fence=fence))

    async def rows(self) -> list[dict[str, Any]]:
        assert self.format is not None
        files = (await self.harness.visible()).values()
        return [row for data in files for row in read_file(data, self.format, self.compression)]

    async def assert_nothing_left(self, tape: Tape) -> None:
        assert await self.harness.visible() == {}
        assert not tape.open
        if getattr(self.harness, "lingers", False):
            # Such a store throws nothing away that is unfinished. What the next attempt commits takes its place.
            assert (await self.write(make_tape().play())).rows > 0
        assert await self.harness.unfinished() == []


@pytest.fixture(params=cases(), ids=lambda case: "-".join(str(part) for part in case if part is not None))
def subject(request: pytest.FixtureRequest, stack: Stack) -> Subject:
    return Subject(HARNESSES[request.param[0]](request.param[0], stack), request.param)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts so small that even a few events make many: whatever fails then fails in the middle of an upload. The
    server would refuse to complete one."""
    monkeypatch.setattr(upload, "PART_BYTES", 1024)


def test_every_registered_destination_is_under_contract() -> None:
    assert HARNESSES.keys() == {name for name, destination in DESTINATIONS.items() if destination.delivers}


async def test_what_is_written_is_there_and_counted(subject: Subject) -> None:
    tape = make_tape()
    written = await subject.write(tape.play())
    assert written.rows == len(tape.rows)
    assert not tape.open
    visible = await subject.harness.visible()
    assert written.bytes == sum(map(len, visible.values()))
    assert {file.key: file.bytes for file in written.files} == {key: len(data) for key, data in visible.items()}
    if subject.format is not None:
        assert await subject.rows() == tape.rows
        assert sum(file.rows for file in written.files) == written.rows


async def test_writing_the_same_target_twice_leaves_one_copy(subject: Subject) -> None:
    first = await subject.write(make_tape().play())
    tape = make_tape(batches=2)
    second = await subject.write(tape.play())
    assert [file.key for file in second.files] == [file.key for file in first.files]
    if subject.format is not None:
        assert await subject.rows() == tape.rows


async def test_nothing_is_visible_before_the_fence(subject: Subject) -> None:
    seen: list[dict[str, bytes]] = []

    async def look() -> None:
        seen.append(await subject.harness.visible())

    await subject.write(make_tape().play(), ScriptedFence(passing=look))
    assert seen == [{}]


async def test_an_empty_stream_leaves_nothing(subject: Subject) -> None:
    tape = make_tape(batches=0)
    written = await subject.write(tape.play())
    assert (written.rows, written.bytes, written.files, written.manifest) == (0, 0, (), None)
    await subject.assert_nothing_left(tape)


async def test_an_empty_stream_still_needs_the_destination(subject: Subject) -> None:
    tape = make_tape(batches=0)
    if subject.harness.missing:
        with pytest.raises(RunError):
            await subject.write(tape.play(), **subject.harness.missing)
    else:  # it is everywhere
        assert (await subject.write(tape.play())).rows == 0
    assert not tape.open


async def test_every_file_is_announced_with_its_place(subject: Subject) -> None:
    fence = ScriptedFence()
    written = await subject.write(make_tape().play(), fence)
    keys = tuple(file.key for file in written.files)
    if subject.format is not None:
        assert fence.announced == [(written.location, keys)]
    assert bool(written.location) == bool(keys)


async def test_checksums_and_bounds_of_files_are_told(subject: Subject) -> None:
    tape = make_tape()
    written = await subject.write(tape.play())
    moments = [row["timestamp"] for row in tape.rows]
    for file in written.files:
        data = (await subject.harness.visible())[file.key]
        assert file.sha256 == hashlib.sha256(data).hexdigest()
        assert (file.min_timestamp, file.max_timestamp) == (min(moments), max(moments))


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("at", [0, 2])
async def test_an_error_of_the_source_leaves_nothing(subject: Subject, at: int) -> None:
    async def fail(number: int) -> None:
        if number == at:
            raise SourceUnavailable("gone")

    tape = make_tape()
    with pytest.raises(SourceUnavailable, match="gone"):
        await subject.write(tape.play(before=fail))
    assert tape.pulled == at
    await subject.assert_nothing_left(tape)


@pytest.mark.usefixtures("small_parts")
async def test_a_lost_lease_leaves_nothing(subject: Subject) -> None:
    tape = make_tape()
    with pytest.raises(LeaseLost):
        await subject.write(tape.play(), ScriptedFence(owned=False))
    await subject.assert_nothing_left(tape)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("point", ["batch 2", "the fence"])
async def test_cancelling_leaves_nothing(subject: Subject, point: str) -> None:
    reached = asyncio.Event()

    async def stop_at(name: str) -> None:
        if name == point:
            reached.set()
            await asyncio.Event().wait()

    async def before(number: int) -> None:
        await stop_at(f"batch {number}")

    tape = make_tape()
    fence = ScriptedFence(passing=lambda: stop_at("the fence"))
    writing = asyncio.create_task(subject.write(tape.play(before), fence))
    await reached.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await subject.assert_nothing_left(tape)
