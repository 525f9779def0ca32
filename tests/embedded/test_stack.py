"""The embedded stack: what it keeps, how it stops, and who may be beside it."""

import asyncio
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from aiobotocore.session import get_session
from botocore.exceptions import ClientError
from redis.asyncio import Redis

from app.embedded import Stack, open_stack
from app.embedded import stack as stack_module
from app.embedded.service import Service
from app.embedded.state import State
from app.errors import SetupError
from tests.embedded.stacks import DEADLINE, gone, stack_process


def s3_client(stack: Stack, **values: Any) -> Any:
    config = {**stack.s3, **values}
    return get_session().create_client(
        "s3",
        region_name=config["region"],
        endpoint_url=config["endpoint_url"],
        aws_access_key_id=config["aws_access_key_id"],
        aws_secret_access_key=config["aws_secret_access_key"],
    )


async def connect(stack: Stack) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(stack.database_url.replace("+asyncpg", ""), ssl=False)


async def keep(stack: Stack) -> None:
    """Put something into each of the services."""
    connection = await connect(stack)
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    await connection.close()
    async with Redis.from_url(stack.redis_url) as redis:
        await redis.set("kept", "7")
    async with s3_client(stack) as s3:
        bucket = stack.s3["bucket_name"]
        for body in (b"old", b"7"):
            await s3.put_object(Bucket=bucket, Key="kept/ü .txt", Body=body, Metadata={"by": "us"})
        await s3.put_object(Bucket=bucket, Key="dropped", Body=b"")
        await s3.delete_object(Bucket=bucket, Key="dropped")


async def assert_kept(stack: Stack) -> None:
    connection = await connect(stack)
    assert await connection.fetchval("SELECT number FROM kept") == 7
    await connection.close()
    async with Redis.from_url(stack.redis_url) as redis:
        assert await redis.get("kept") == b"7"
    async with s3_client(stack) as s3:
        bucket = stack.s3["bucket_name"]
        listed = (await s3.list_objects_v2(Bucket=bucket))["Contents"]
        assert [item["Key"] for item in listed] == ["kept/ü .txt"]
        found = await s3.get_object(Bucket=bucket, Key="kept/ü .txt")
        assert (await found["Body"].read(), found["Metadata"]) == (b"7", {"by": "us"})


def service(stack: Stack, name: str) -> Service:
    return next(service for service in stack.services if service.name == name)


async def test_everything_is_found_again_with_the_same_addresses(place: Path) -> None:
    directory = place / "with spaces and \"quotes'"
    async with open_stack(directory) as stack:
        before = (stack.env, stack.s3)
        await keep(stack)
    async with open_stack(directory) as stack:
        assert (stack.env, stack.s3) == before
        await assert_kept(stack)
        async with s3_client(stack) as s3:
            await s3.put_object(Bucket=stack.s3["bucket_name"], Key="one more", Body=b"")
    assert len(list((directory / "s3").glob("*/*.json"))) == 2
    assert len(list((directory / "s3").glob("*/*.data"))) == 2


async def test_a_relative_directory_is_one_below_here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    async with open_stack(Path("data"), durable=False) as stack:
        monkeypatch.chdir("/")
        await keep(stack)
        await assert_kept(stack)
    assert (place / "data" / "stack.json").exists()


@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_no_process_is_left_whatever_ends_the_stack(data_dir: Path, with_signal: signal.Signals) -> None:
    async with stack_process(data_dir) as running:
        family = running.family()
        assert len(family) > 4
        assert "Traceback" not in await running.stop(with_signal)
        await gone(family)
    if with_signal == signal.SIGKILL:
        return
    assert running.process.returncode == 0
    assert not (data_dir / "postgres" / "postmaster.pid").exists()


async def test_a_stack_that_was_killed_starts_again_at_once_with_all_it_had(data_dir: Path) -> None:
    async with stack_process(data_dir) as running:
        before = running.document
        connection = await asyncpg.connect(
            before["env"]["BATCH_EXPORTS_DATABASE_URL"].replace("+asyncpg", ""), ssl=False
        )
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        # Still connected, so that its shutdown takes a moment: the next start must wait for it.
        await running.stop(signal.SIGKILL)
        async with open_stack(data_dir) as stack:
            assert (stack.env, stack.s3) == (before["env"], before["s3"])
            again = await connect(stack)
            assert await again.fetchval("SELECT number FROM kept") == 7
            await again.close()
        connection.terminate()


async def test_services_that_were_killed_too_start_again(data_dir: Path) -> None:
    async with stack_process(data_dir) as running:
        family = running.family()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        await running.process.communicate()
        await gone(family)
    assert (data_dir / "postgres" / "postmaster.pid").exists()
    async with open_stack(data_dir) as stack:
        await keep(stack)
        await assert_kept(stack)


async def test_a_stale_pid_file_that_names_somebody_else_harms_nobody(data_dir: Path) -> None:
    async with open_stack(data_dir, durable=False) as stack:
        files = [service.pid_file for service in stack.services]
    stranger = await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True)
    for file in files:
        file.write_text(f"{stranger.pid}\n/elsewhere\n0\n0\n\n\n\n\n")
    async with open_stack(data_dir, durable=False) as stack:
        await keep(stack)
        for file in files:
            file.write_text(f"{stranger.pid}\n")
    assert stranger.returncode is None
    stranger.kill()
    await stranger.wait()


async def test_two_stacks_stand_side_by_side(place: Path) -> None:
    async with open_stack(place / "1", durable=False) as one, open_stack(place / "2", durable=False) as two:
        assert not {service.port for service in one.services} & {service.port for service in two.services}
        await keep(one)
        await keep(two)
        await assert_kept(one)
        async with s3_client(two, endpoint_url=one.s3["endpoint_url"]) as foreign:
            with pytest.raises(ClientError, match="InvalidAccessKeyId"):
                await foreign.list_objects_v2(Bucket=one.s3["bucket_name"])


async def test_a_second_stack_on_the_directory_is_refused_and_harms_nothing(data_dir: Path) -> None:
    async with open_stack(data_dir, durable=False) as stack:
        with pytest.raises(SetupError, match=f"in use by process {os.getpid()}"):
            async with open_stack(data_dir):
                raise AssertionError
        await keep(stack)


async def test_a_service_killed_from_outside_is_reported_and_the_others_go_on(data_dir: Path) -> None:
    async with stack_process(data_dir) as running:
        psutil.Process(running.document["pids"]["valkey"]).kill()
        await running.says("valkey does not answer; the other services go on")
        connection = await asyncpg.connect(
            running.document["env"]["BATCH_EXPORTS_DATABASE_URL"].replace("+asyncpg", ""), ssl=False
        )
        await connection.close()
        family = running.family()
        await running.stop(signal.SIGTERM)
        await gone(family)
        assert running.process.returncode == 0


async def test_a_service_restarted_from_outside_is_noticed_and_stopped_in_the_end(
    data_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_module, "WATCH_INTERVAL", 0.05)
    said = ""

    async def until_said(words: str) -> None:
        nonlocal said
        async with asyncio.timeout(DEADLINE):
            while words not in (said := said + capsys.readouterr().err):
                await asyncio.sleep(0.02)

    async with open_stack(data_dir, durable=False) as stack:
        watching = asyncio.create_task(stack.watch())
        valkey = service(stack, "valkey")
        assert valkey.pid is not None
        psutil.Process(valkey.pid).kill()
        await until_said("valkey does not answer")
        stranger = await asyncio.create_subprocess_exec(
            *valkey.command(), stdout=subprocess.DEVNULL, cwd=valkey.directory, start_new_session=True
        )
        await until_said("valkey answers again")
        await keep(stack)
        watching.cancel()
        serving = psutil.Process(stranger.pid)
    await gone([serving])
    await stranger.wait()


async def test_a_service_that_hangs_is_reported(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.embedded.service.ANSWER_LIMIT", 0.2)
    async with open_stack(data_dir, durable=False) as stack:
        for one in stack.services:
            assert one.pid is not None
            process = psutil.Process(one.pid)
            process.suspend()
            assert not await one.answers()
            process.resume()
            async with asyncio.timeout(DEADLINE):
                while not await one.answers():
                    pass


async def test_a_service_that_cannot_start_takes_the_others_with_it(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data_dir / "valkey").mkdir(parents=True)
    (data_dir / "valkey" / "appendonlydir").write_text("in the way")
    children = psutil.Process().children
    before = {child.pid for child in children()}
    with pytest.raises(SetupError, match="valkey did not start"):
        async with open_stack(data_dir, durable=False):
            raise AssertionError
    assert {child.pid for child in children()} == before


async def test_an_interrupted_first_start_leaves_nothing_half_made(data_dir: Path) -> None:
    async def start() -> None:
        async with open_stack(data_dir, durable=False):
            raise AssertionError

    starting = asyncio.create_task(start())
    async with asyncio.timeout(DEADLINE):
        while not (data_dir / "postgres.draft" / "PG_VERSION").exists():
            await asyncio.sleep(0.001)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    assert starting.cancelled()
    async with open_stack(data_dir, durable=False) as stack:
        await keep(stack)


async def test_a_directory_that_is_a_file_is_named(place: Path) -> None:
    (place / "file").touch()
    with pytest.raises(SetupError, match="file cannot be used"):
        async with open_stack(place / "file"):
            raise AssertionError


async def test_rubbish_in_the_state_file_is_named(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "stack.json").write_text("{")
    with pytest.raises(SetupError, match=r"stack\.json cannot be read"):
        async with open_stack(data_dir):
            raise AssertionError


def test_two_states_never_reserve_the_same_port(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.embedded.state.PORTS", range(21000, 21004))
    states = [State(place / name) for name in ("1", "2")]
    for state in states:
        state.directory.mkdir()
    try:
        ports = [state.port(name) for state in states for name in ("a", "b")]
        assert len(set(ports)) == 4
        assert [state.port(name) for state in states for name in ("a", "b")] == ports
    finally:
        for state in states:
            state.close()
