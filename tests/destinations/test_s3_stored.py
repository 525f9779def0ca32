"""Reading back what lies in a bucket, and what a bucket is called on record."""

import hashlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.destinations.s3 import store
from app.destinations.s3.errors import location
from app.errors import Misconfigured, RunError, Transient
from tests.destinations.harness import S3Harness, make_target
from tests.destinations.rows import make_tape
from tests.destinations.s3_proxy import Fate, Reply, S3Proxy, Verdict, error
from tests.destinations.trouble import failing

pytestmark = pytest.mark.usefixtures("no_backoff")


async def test_an_object_is_copied_with_its_size_and_checksum(s3: S3Harness, tmp_path: Path) -> None:
    destination = s3.make()
    [file] = (await destination.write(make_tape().play(), make_target(destination))).files
    async with destination.stored() as stored:
        fetched = await stored.fetch(file.key, tmp_path / "copy")
        assert await stored.fetch(f"{s3.prefix}/missing", tmp_path / "none") is None
    data = (await s3.visible())[file.key]
    assert (tmp_path / "copy").read_bytes() == data
    assert fetched is not None
    assert (fetched.bytes, fetched.sha256) == (file.bytes, file.sha256)
    assert fetched.sha256 == hashlib.sha256(data).hexdigest()


async def test_whatever_has_a_name_of_the_window_is_listed_however_much_it_is(
    s3: S3Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "KEYS_AT_ONCE", 5)
    destination = s3.make(max_file_size_mb=1)
    target = make_target(destination)
    [file] = (await destination.write(make_tape().play(), target)).files
    stem = file.key.removesuffix(f"-0.{target.extension}")
    others = {f"{stem}-{number}.{target.extension}" for number in range(1, 15)}
    foreign = {f"{stem}-1.parquet", f"{stem}1.{target.extension}", f"{stem}/x.{target.extension}"}
    async with s3.client() as client:
        for key in others | foreign:
            await client.put_object(Bucket=s3.bucket, Key=key, Body=b"")
    async with destination.stored() as stored:
        keys = await stored.keys(target)
        assert keys is not None
        assert set(keys) == {file.key, f"{stem}_manifest.json"} | others
        assert await stored.keys(replace(target, end=target.end + timedelta(hours=1))) == []


async def test_a_key_that_may_not_list_says_so(s3: S3Harness, proxy: S3Proxy) -> None:
    proxy.judge = failing("ListObjectsV2", error(403, "AccessDenied"))
    destination = s3.make(endpoint_url=proxy.url)
    async with destination.stored() as stored:
        assert await stored.keys(make_target(destination)) is None


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (error(403, "InvalidAccessKeyId"), Misconfigured),
        (error(403, "AccessDenied"), Misconfigured),
        (error(500, "InternalError"), Transient),
        (Fate.DROP_REQUEST, Transient),
    ],
)
async def test_what_cannot_be_read_is_a_run_error(
    s3: S3Harness, proxy: S3Proxy, tmp_path: Path, verdict: Verdict, expected: type[RunError]
) -> None:
    proxy.judge = failing("GetObject", verdict)
    async with s3.make(endpoint_url=proxy.url).stored() as stored:
        with pytest.raises(expected) as raised:
            await stored.fetch("key", tmp_path / "copy")
    assert "hush" not in str(raised.value)


async def test_an_object_that_breaks_off_is_no_object(s3: S3Harness, proxy: S3Proxy, tmp_path: Path) -> None:
    async def cut(_: object) -> Verdict:
        return Reply(200, "half", headers=("Content-Length: 100",))

    proxy.judge = cut
    async with s3.make(endpoint_url=proxy.url).stored() as stored:
        with pytest.raises(RunError):
            await stored.fetch("key", tmp_path / "copy")


@pytest.mark.parametrize("reply", [error(403, "InvalidAccessKeyId"), error(404, "NoSuchBucket"), Reply(200, "hello")])
async def test_an_empty_run_proves_that_the_store_can_be_used(s3: S3Harness, proxy: S3Proxy, reply: Reply) -> None:
    proxy.judge = failing("ListObjectsV2", reply)
    destination = s3.make(endpoint_url=proxy.url)
    with pytest.raises(RunError):
        await destination.write(make_tape(0).play(), make_target(destination))


async def test_an_empty_run_needs_no_permission_to_list(s3: S3Harness, proxy: S3Proxy) -> None:
    proxy.judge = failing("ListObjectsV2", error(403, "AccessDenied"))
    destination = s3.make(endpoint_url=proxy.url)
    assert (await destination.write(make_tape(0).play(), make_target(destination))).rows == 0


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        (None, "s3://amazonaws.com/b"),
        ("http://127.0.0.1:9000", "s3://127.0.0.1:9000/b"),
        ("https://Store.Example.com", "s3://store.example.com/b"),
        ("https://store.example.com:443/", "s3://store.example.com/b"),
        ("http://store.example.com:443", "s3://store.example.com:443/b"),
        ("http://[::1]:9000", "s3://[::1]:9000/b"),
        ("https://user:secret@store.example.com/secret?secret", "s3://store.example.com/b"),
    ],
)
def test_a_place_has_one_name_and_tells_no_secret(endpoint: str | None, expected: str) -> None:
    assert location("b", endpoint) == expected
