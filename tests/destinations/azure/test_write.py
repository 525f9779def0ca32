"""What lies in a container after a write: names, manifests, contents, and what reads it back."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from app.destinations.azure_blob.client import READ_BYTES
from app.destinations.base import Destination, Earlier, Written
from app.destinations.objects import upload
from app.errors import Misconfigured
from tests.destinations.azure.azurite import ACCOUNT, CONTAINER
from tests.destinations.azure.harness import AzureHarness
from tests.destinations.azure.proxy import AzureProxy, error, failing
from tests.destinations.harness import ScriptedFence, make_target
from tests.destinations.rows import Tape, make_batch, make_tape, read_file

NAME = "2026-03-01T00:00:00+00:00-2026-03-01T01:00:00+00:00"
MIB = 1024 * 1024


def sas(azure: AzureHarness, permissions: str) -> str:
    token = generate_container_sas(
        ACCOUNT,
        CONTAINER,
        azure.azurite.key,
        permission=ContainerSasPermissions.from_string(permissions),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    return azure.azurite.connection_string(sas=token)


async def write(destination: Destination, tape: Tape, epoch: int = 1, earlier: Earlier | None = None) -> Written:
    fence = ScriptedFence(earlier or Earlier())
    most = 6000 if destination.max_file_bytes else None
    return await destination.write(tape.play(), make_target(destination, fence=fence, epoch=epoch, max_file_bytes=most))


async def test_files_and_their_manifest_are_named_as_the_contract_says(azure: AzureHarness) -> None:
    written = await write(azure.make(max_file_size_mb=1), make_tape(3))
    there = await azure.visible()
    keys = [f"{azure.prefix}/{NAME}-{number}.jsonl" for number in range(len(written.files))]
    assert len(keys) > 1
    assert [file.key for file in written.files] == keys
    manifest = f"{azure.prefix}/{NAME}_manifest.json"
    assert set(there) == {*keys, manifest}
    document = json.loads(there[manifest])
    assert document["files"] == keys
    # As the contract has it: by two.
    assert there[manifest].decode() == json.dumps(document, indent=2)


async def test_one_file_has_no_manifest_and_takes_an_earlier_one_away(azure: AzureHarness) -> None:
    destination = azure.make(max_file_size_mb=1)
    before = await write(destination, make_tape(3))
    assert before.manifest is not None
    stale = (*(file.key for file in before.files[1:]), before.manifest.key)
    written = await write(destination, make_tape(1, 3), 2, Earlier(stale, replaces=True))
    assert written.manifest is None
    assert written.undeleted == ()
    assert list(await azure.visible()) == [f"{azure.prefix}/{NAME}-0.jsonl"]


@pytest.mark.parametrize("prefix", ["spa ce/é🦔", "100%/a+b=c&d", "quer?y/#hash", "%2F/{year}"])
async def test_a_key_is_stored_as_it_is_spelled(azure: AzureHarness, prefix: str) -> None:
    destination = azure.make(prefix=f"{azure.prefix}/{prefix}")
    [file] = (await write(destination, make_tape(1))).files
    assert file.key == f"{azure.prefix}/{prefix.replace('{year}', '2026')}/{NAME}.jsonl"
    assert list(await azure.visible()) == [file.key]
    async with destination.stored() as stored:
        assert await stored.keys(make_target(destination)) == [file.key]
    await destination.discard([file.key])
    assert await azure.visible() == {}


@pytest.mark.usefixtures("no_backoff")
async def test_a_large_file_is_sent_and_read_back_in_pieces(
    through: AzureHarness, proxy: AzureProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One of the pieces is sent twice, from its beginning."""
    monkeypatch.setattr(upload, "PART_BYTES", 2 * MIB)
    proxy.judge = failing("Put Block", error(500, "InternalError"), times=2)
    tape = Tape([make_batch(first, 1, size=MIB) for first in range(5)])
    destination = through.make()
    [file] = (await write(destination, tape)).files
    assert file.bytes > READ_BYTES
    [data] = (await through.visible()).values()
    assert read_file(data, "JSONLines", None) == tape.rows
    assert proxy.operations.count("Put Block") == 5
    async with destination.stored() as stored:
        fetched = await stored.fetch(file.key, tmp_path / "file")
        assert fetched is not None
        assert (fetched.bytes, fetched.sha256) == (file.bytes, file.sha256)
        assert (tmp_path / "file").read_bytes() == data
        assert await stored.fetch("nothing", tmp_path / "none") is None


@pytest.mark.usefixtures("no_backoff")
async def test_a_file_in_one_piece_is_sent_again_from_its_beginning(through: AzureHarness, proxy: AzureProxy) -> None:
    proxy.judge = failing("Put Blob", error(500, "InternalError"), times=2)
    tape = Tape([make_batch(0, 1, size=3 * MIB)])
    await write(through.make(), tape)
    assert proxy.operations.count("Put Blob") == 3
    [data] = (await through.visible()).values()
    assert read_file(data, "JSONLines", None) == tape.rows


async def test_a_signature_that_may_only_write_is_enough_to_export(azure: AzureHarness) -> None:
    destination = azure.make(connection_string=sas(azure, "cw"))
    assert (await write(destination, make_tape(0))).rows == 0
    for tape in (make_tape(2), make_tape(1)):
        written = await write(destination, tape)
        assert [len(data) for data in (await azure.visible()).values()] == [written.bytes]
    # Deleting is more, and what could not be deleted is told.
    stale = written.files[0].key
    kept = await write(
        azure.make(connection_string=sas(azure, "cw"), compression="gzip"), make_tape(1), 2, Earlier((stale,))
    )
    assert (kept.undeleted, kept.undeleted_reason) == ((stale,), "The SAS lacks the permission Delete.")
    async with destination.stored() as stored:
        assert await stored.keys(make_target(destination)) is None


async def test_a_signature_that_may_not_write_is_refused(azure: AzureHarness) -> None:
    with pytest.raises(
        Misconfigured, match="the SAS lacks a permission; exports need the permissions Read, Add, Create"
    ):
        await write(azure.make(connection_string=sas(azure, "rl")), make_tape(1))
    assert await azure.visible() == {}


async def test_other_attempts_are_spared_by_a_discard(azure: AzureHarness) -> None:
    destination = azure.make()
    [file] = (await write(destination, make_tape(1), epoch=2)).files
    [attempt] = (await azure.attempts()).values()
    run_id = attempt.partition("/")[0]
    await destination.discard([file.key], f"{run_id}/1")
    assert list(await azure.visible()) == [file.key]
    await destination.discard([file.key, "nothing"], f"{run_id}/")
    assert await azure.visible() == {}
