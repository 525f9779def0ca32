"""What is on the wire: encryption, addresses, checksums, and how many requests a run costs."""

import hashlib
import re
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from app.destinations import build
from app.destinations.base import WrittenFile
from app.destinations.objects import upload
from app.destinations.s3.client import Connection, open_client
from app.embedded import Stack
from tests.destinations.harness import NETWORK, AwsS3Harness, S3Harness, make_target
from tests.destinations.rows import Tape, make_batch, make_tape
from tests.destinations.s3_proxy import Request, S3Proxy, serving

CREATING = ("PutObject", "CreateMultipartUpload")
SENDING = ("PutObject", "UploadPart")
SMALLEST_PART = 5 * 1024 * 1024


async def write(destination: Any) -> WrittenFile:
    """Two files by upload in parts, one and the manifest in one request each; gives the first file."""
    written = await destination.write(make_tape().play(), make_target(destination, max_file_bytes=8000))
    assert len(written.files) == 3
    return written.files[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("config", "asked"),
    [
        ({}, (None, None)),
        ({"encryption": "AES256"}, ("AES256", None)),
        ({"encryption": "aws:kms"}, ("aws:kms", None)),
        ({"encryption": "aws:kms", "kms_key_id": "key/1"}, ("aws:kms", "key/1")),
    ],
    ids=str,
)
async def test_encryption_is_asked_for_when_an_object_is_created_and_at_no_other_time(
    s3: S3Harness, proxy: S3Proxy, config: dict[str, Any], asked: tuple[str | None, str | None]
) -> None:
    await write(s3.make(endpoint_url=proxy.url, max_file_size_mb=1, **config))
    assert set(proxy.operations) >= {*CREATING, "UploadPart", "CompleteMultipartUpload", "HeadObject"}
    header = "x-amz-server-side-encryption"
    for request in proxy.seen:
        wanted = asked if request.operation in CREATING else (None, None)
        assert (request.headers.get(header), request.headers.get(f"{header}-aws-kms-key-id")) == wanted
    for key in await s3.visible():
        stored = await s3.head(key)
        assert (stored.get("ServerSideEncryption"), stored.get("SSEKMSKeyId")) == asked


@pytest.fixture
async def aws(stack: Stack, proxy: S3Proxy) -> Any:
    """Amazon S3, as far as the destination can tell, behind the proxy."""
    harness = AwsS3Harness("AwsS3", stack)
    made: Any = harness.make()
    made.connection = replace(made.connection, endpoint_url=proxy.url)
    return harness, made


@pytest.mark.parametrize("parts", [False, True], ids=["put", "parts"])
async def test_amazon_gets_a_checksum_of_every_request_in_its_header_and_keeps_it(
    aws: Any, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch, parts: bool
) -> None:
    monkeypatch.setattr(upload, "PART_BYTES", SMALLEST_PART)
    tape = Tape([make_batch(first, 1, size=1024 * 1024) for first in range(6)]) if parts else make_tape()
    harness, made = aws
    [file] = (await made.write(tape.play(), make_target(made))).files
    sent = [request for request in proxy.seen if request.operation in SENDING]
    checksums = [crc32(request.body) for request in sent]
    assert [request.headers["x-amz-checksum-crc32"] for request in sent] == checksums
    assert all(is_plain(request) for request in proxy.seen)
    for request in proxy.seen:
        if request.operation == "CreateMultipartUpload":
            assert request.headers["x-amz-checksum-algorithm"] == "CRC32"
        if request.operation == "CompleteMultipartUpload":
            assert re.findall(r"<ChecksumCRC32>(.+?)</ChecksumCRC32>", request.body.decode()) == [
                crc32(one.body) for one in sorted(sent, key=lambda one: one.part or 0)
            ]
    async with harness.client() as client:
        stored = await client.head_object(Bucket=harness.bucket, Key=file.key, ChecksumMode="ENABLED")
    # The embedded server keeps those of parts only.
    assert bool(stored.get("ChecksumCRC32")) is parts
    assert len(sent) == 1 + parts


@pytest.mark.parametrize("kind", ["S3", "S3Compatible"])
async def test_other_stores_get_nothing_that_the_protocol_has_not_always_had(
    stack: Stack, proxy: S3Proxy, kind: str
) -> None:
    await write(S3Harness(kind, stack).make(endpoint_url=proxy.url, max_file_size_mb=1))
    for request in proxy.seen:
        assert not [name for name in request.headers if "checksum" in name]
        assert is_plain(request)
        # Damage on the way is found out all the same: this is what every store holds the body against.
        assert request.headers["x-amz-content-sha256"] == hashlib.sha256(request.body).hexdigest()


@pytest.mark.parametrize(
    ("endpoint", "checksums"),
    [
        (None, True),
        ("https://s3.eu-west-1.amazonaws.com", True),
        ("https://bucket.vpce-1-2.s3.us-east-1.vpce.amazonaws.com", True),
        ("https://s3.cn-north-1.amazonaws.com.cn", True),
        ("https://notamazonaws.com", False),
        ("https://amazonaws.com.example.com", False),
        ("https://storage.googleapis.com", False),
    ],
)
def test_amazon_is_known_by_its_address(endpoint: str | None, checksums: bool) -> None:
    assert Connection.of({"region": "r", "endpoint_url": endpoint}).checksums is checksums


class VirtualHosts(S3Proxy):
    """A store that finds the bucket in the name of the host; the server behind it finds it in the path."""

    domain = "store.example.com"

    async def _ask(self, first: str, headers: dict[str, str], body: bytes) -> bytes:
        host = headers["host"].rpartition(":")[0]
        if host != self.domain:
            method, target, version = first.split(" ")
            bucket = host.removesuffix(f".{self.domain}")
            first = f"{method} /{bucket}{target} {version}"
        return await super()._ask(first, {**headers, "host": "127.0.0.1"}, body)


@pytest.fixture
async def hosts(stack: Stack) -> AsyncIterator[VirtualHosts]:
    async with serving(VirtualHosts(stack.s3["endpoint_url"])) as opened:
        yield opened


@pytest.mark.parametrize("virtual", [True, False], ids=["virtual", "path"])
@pytest.mark.parametrize("bucket", ["plain-name", "name.with.dots"])
async def test_every_request_has_the_address_that_is_set(
    s3: S3Harness,
    stack: Stack,
    hosts: VirtualHosts,
    names: dict[str, tuple[str, ...]],
    bucket: str,
    virtual: bool,
) -> None:
    names |= dict.fromkeys((hosts.domain, f"{bucket}.{hosts.domain}"), ("127.0.0.1",))
    async with s3.client() as client:
        with suppress(client.exceptions.BucketAlreadyOwnedByYou):
            await client.create_bucket(Bucket=bucket)
    place = {"bucket_name": bucket, "endpoint_url": f"http://{hosts.domain}:{hosts.port}", "prefix": s3.prefix}
    config = {**stack.s3, **place, "use_virtual_style_addressing": virtual, "max_file_size_mb": 1}
    file = await write(build("S3Compatible", config, NETWORK))
    expected = f"{bucket}.{hosts.domain}" if virtual else hosts.domain
    assert {request.headers["host"] for request in hosts.seen} == {f"{expected}:{hosts.port}"}
    assert all(request.path.startswith(f"/{bucket}") is not virtual for request in hosts.seen)
    async with s3.client() as client:
        assert (await client.head_object(Bucket=bucket, Key=file.key))["ContentLength"] == file.bytes


@pytest.mark.parametrize(
    ("bucket", "config", "address"),
    [
        ("plain", {"endpoint_url": None}, "https://plain.s3.eu-west-1.amazonaws.com/key"),
        # The certificate is good for one label before the domain.
        ("with.dots", {"endpoint_url": None}, "https://s3.eu-west-1.amazonaws.com/with.dots/key"),
        ("plain", {"use_virtual_style_addressing": True}, "https://plain.store.example.com/key"),
        ("with.dots", {"use_virtual_style_addressing": True}, "https://store.example.com/with.dots/key"),
        ("plain", {}, "https://store.example.com/plain/key"),
    ],
)
async def test_no_address_needs_a_certificate_that_there_cannot_be(
    stack: Stack, bucket: str, config: dict[str, Any], address: str
) -> None:
    settings = {**stack.s3, "region": "eu-west-1", "endpoint_url": "https://store.example.com", **config}

    class Asked(Exception):
        pass

    def stop(request: Any, **_: Any) -> None:
        raise Asked(request.url)

    async with open_client(Connection.of(settings), NETWORK) as client:
        client.meta.events.register("before-send.s3.HeadObject", stop)
        with pytest.raises(Asked) as raised:
            await client.head_object(Bucket=bucket, Key="key")
    assert raised.value.args == (address,)


async def test_what_a_run_costs(aws: Any, proxy: S3Proxy) -> None:
    """Requests to the store, of runs in which nothing goes wrong."""
    _, made = aws

    async def cost(batches: int, **target: Any) -> list[str]:
        proxy.seen.clear()
        await made.write(make_tape(batches).play(), make_target(made, **target))
        return proxy.operations

    assert await cost(0) == ["ListObjectsV2"]
    assert await cost(3) == ["PutObject", "HeadObject"]
    in_parts = ["CreateMultipartUpload", "UploadPart"]
    made.config = made.config.model_copy(update={"max_file_size_mb": 1})
    assert sorted(await cost(3, max_file_bytes=8000)) == sorted(
        # Uploads of attempts that were lost are looked for once.
        [*in_parts * 2, "ListMultipartUploads", *["CompleteMultipartUpload", "HeadObject"] * 2]
        # The last file, and the manifest.
        + ["PutObject", "HeadObject"] * 2
    )


def crc32(data: bytes) -> str:
    return b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def is_plain(request: Request) -> bool:
    """A body of known length and nothing behind it, as every store takes it."""
    chunked = {"transfer-encoding", "x-amz-trailer", "x-amz-decoded-content-length", "x-amz-sdk-checksum-algorithm"}
    signed = request.headers["x-amz-content-sha256"]
    return (
        not chunked & request.headers.keys()
        and "aws-chunked" not in request.headers.get("content-encoding", "")
        and not signed.startswith("STREAMING")
    )
