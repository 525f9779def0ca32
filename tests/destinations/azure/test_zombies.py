"""Attempts that share a name: one that sleeps and wakes, answers that are lost, blocks that one commit drops for all.

Whatever happens, what is visible is one attempt's, whole.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from app.destinations.base import Destination
from app.destinations.objects import upload
from app.destinations.objects.body import Body
from app.destinations.objects.destination import ObjectDestination
from app.destinations.objects.store import NOTHING
from app.errors import LeaseLost, RunError, Transient
from tests.destinations.azure.harness import AzureHarness
from tests.destinations.azure.proxy import AzureProxy, error, failing, operation
from tests.destinations.harness import ScriptedFence, make_target
from tests.destinations.rows import Tape, make_tape, read_file
from tests.destinations.s3_proxy import Fate, Request, Verdict

pytestmark = pytest.mark.usefixtures("no_backoff")


class Sleeper:
    """An attempt of epoch 1 that is held up right before the first request that ``matches`` reaches the service."""

    def __init__(
        self, destination: Destination, proxy: AzureProxy, matches: Callable[[Request], bool], tape: Tape
    ) -> None:
        self._asleep, self._awake = asyncio.Event(), asyncio.Event()
        # It has looked at its clock already: the request is on its way.
        fence = ScriptedFence(aware=False)

        async def judge(request: Request) -> Verdict:
            if matches(request) and not self._asleep.is_set():
                self._asleep.set()
                await self._awake.wait()
            return None

        proxy.judge = judge
        self._fence = fence
        most = 6000 if destination.max_file_bytes else None
        self._writing = asyncio.create_task(
            destination.write(tape.play(), make_target(destination, fence=fence, max_file_bytes=most))
        )

    async def falls_asleep(self) -> None:
        await asyncio.wait_for(self._asleep.wait(), 30)
        self._fence.owned = False

    async def wakes(self) -> BaseException | None:
        """The error that it ends with."""
        self._awake.set()
        [ended] = await asyncio.gather(self._writing, return_exceptions=True)
        return ended if isinstance(ended, BaseException) else None


def is_(name: str, ending: str = "") -> Callable[[Request], bool]:
    return lambda request: operation(request) == name and request.path.endswith(ending)


async def write(destination: Destination, tape: Tape, epoch: int = 1, fence: ScriptedFence | None = None) -> None:
    most = 6000 if destination.max_file_bytes else None
    target = make_target(destination, fence=fence or ScriptedFence(), epoch=epoch, max_file_bytes=most)
    await destination.write(tape.play(), target)


@pytest.mark.parametrize(
    ("name", "ending", "size", "rerun"),
    [
        ("Put Blob", "", None, False),
        ("Put Blob", "", None, True),
        ("Put Block List", "-0.jsonl", 1, True),
        ("Put Blob", "_manifest.json", 1, False),
    ],
    ids=["one put", "one put of a rerun", "a list of blocks", "the manifest"],
)
async def test_nothing_of_another_attempt_is_overwritten(
    azure: AzureHarness, proxy: AzureProxy, name: str, ending: str, size: int | None, rerun: bool
) -> None:
    config: dict[str, Any] = {"max_file_size_mb": size}
    other = azure.make(**config)
    if rerun:
        await write(other, make_tape(2, 25))
    slow = azure.make(connection_string=azure.azurite.connection_string(proxy.endpoint), **config)
    sleeper = Sleeper(slow, proxy, is_(name, ending), make_tape(2))
    await sleeper.falls_asleep()
    await write(other, make_tape(3), epoch=2)
    there = await azure.visible()
    assert isinstance(await sleeper.wakes(), LeaseLost | Transient)
    assert await azure.visible() == there
    assert {attempt[-2:] for attempt in (await azure.attempts()).values()} == {"/2"}


async def test_blocks_that_a_late_commit_drops_fail_the_attempt_and_not_its_successor(
    azure: AzureHarness, proxy: AzureProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sleeper's commit comes after the other attempt has sent its blocks, and before they are committed."""
    monkeypatch.setattr(upload, "PART_BYTES", 6000)
    slow = azure.make(connection_string=azure.azurite.connection_string(proxy.endpoint))
    sleeper = Sleeper(slow, proxy, is_("Put Block List"), make_tape(2))
    await sleeper.falls_asleep()
    ended: list[BaseException | None] = []

    async def let_it_wake() -> None:
        if not ended:
            ended.append(await sleeper.wakes())

    other = azure.make()
    with pytest.raises(Transient, match="does not have all blocks of an object") as raised:
        await write(other, make_tape(3), epoch=2, fence=ScriptedFence(passing=let_it_wake))
    assert raised.value.retryable
    # The sleeper's object is whole; what it was is taken back by the attempt that came too late to write its own.
    assert await azure.visible() == {}
    tape = make_tape(4)
    await write(other, tape, epoch=3)
    [data] = (await azure.visible()).values()
    assert read_file(data, "JSONLines", None) == tape.rows
    assert await azure.unfinished() == []


async def test_two_uploads_to_one_name_never_mix(azure: AzureHarness) -> None:
    key = f"{azure.prefix}/key"
    destination = azure.make()
    assert isinstance(destination, ObjectDestination)
    async with destination.open_store("run/1") as first, destination.open_store("run/2") as second:
        uploads = [(store, await store.begin(key)) for store in (first, second)]
        blocks = [
            [await store.send(key, upload, number, Body([f"{store.attempt}:{number} ".encode()])) for number in (1, 2)]
            for store, upload in uploads
        ]
        assert len({len(block) for sent in blocks for block in sent}) == 1
        await second.complete(key, uploads[1][1], blocks[1], NOTHING)
        seen = await second.look(key)
        assert seen.is_of("run/2")
        with pytest.raises(first.lost) as raised:
            await first.complete(key, uploads[0][1], blocks[0], seen)
    assert isinstance(first.run_error(raised.value), Transient)
    assert await azure.visible() == {key: b"run/2:1 run/2:2 "}


@pytest.mark.parametrize(
    ("fate", "times"),
    [(Fate.DROP_REQUEST, 1), (Fate.DROP_ANSWER, 1), (Fate.DROP_ANSWER, 10**6)],
    ids=["a request is lost", "an answer is lost", "every answer is lost"],
)
@pytest.mark.parametrize(("name", "part_bytes"), [("Put Blob", 10**6), ("Put Block List", 6000)])
async def test_a_commit_that_is_not_answered_is_made_once(
    through: AzureHarness,
    proxy: AzureProxy,
    monkeypatch: pytest.MonkeyPatch,
    fate: Fate,
    times: int,
    name: str,
    part_bytes: int,
) -> None:
    monkeypatch.setattr(upload, "PART_BYTES", part_bytes)
    proxy.judge = failing(name, fate, times=times)
    tape = make_tape()
    await write(through.make(), tape)
    assert proxy.operations.count(name) > 1
    [data] = (await through.visible()).values()
    assert read_file(data, "JSONLines", None) == tape.rows


@pytest.mark.parametrize("verdict", [error(503, "ServerBusy"), Fate.DROP_REQUEST, Fate.DROP_ANSWER], ids=str)
async def test_a_request_that_is_repeated_is_checked_again(
    through: AzureHarness, proxy: AzureProxy, verdict: Verdict
) -> None:
    """Its repetitions may come minutes later. After an answer it is the SDK that makes them; where the connection is
    lost, it is the HTTP client first."""
    fence = ScriptedFence()

    async def judge(request: Request) -> Verdict:
        fence.owned = False
        return verdict

    proxy.judge = judge
    with pytest.raises(LeaseLost):
        await write(through.make(), make_tape(), fence=fence)
    assert proxy.operations == ["Put Blob"]


async def test_an_unfinished_upload_does_not_keep_a_small_file_from_its_place(azure: AzureHarness) -> None:
    """Azurite takes the name for an object's."""
    key = f"{azure.prefix}/2026-03-01T00:00:00+00:00-2026-03-01T01:00:00+00:00.jsonl"
    async with azure.azurite.container() as container:
        await container.get_blob_client(key).stage_block("x" * 38, b"lost")
    assert await azure.unfinished() == [key]
    tape = make_tape(1)
    await write(azure.make(), tape, epoch=2)
    [data] = (await azure.visible()).values()
    assert read_file(data, "JSONLines", None) == tape.rows
    assert await azure.unfinished() == []


async def test_a_commit_that_fails_is_taken_back(through: AzureHarness, proxy: AzureProxy) -> None:
    proxy.judge = failing("Put Blob", error(403, "AuthorizationFailure"))
    with pytest.raises(RunError):
        await write(through.make(max_file_size_mb=1), make_tape(3))
    assert "Delete Blob" in proxy.operations
    assert await through.visible() == {}
