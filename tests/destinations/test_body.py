"""Bodies of requests: the bytes that were put in, whoever reads them and how."""

import hashlib
import io
from functools import partial

import pytest
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import PAYLOAD_REGISTRY
from hypothesis import given
from hypothesis import strategies as st

from app.destinations.objects.body import AT_ONCE, Body, BodyPayload, Gathered

pieces = st.lists(st.binary(max_size=20), max_size=8)


@given(pieces, st.integers(1, 30))
def test_it_is_read_as_often_as_one_likes_in_whatever_sizes(given_pieces: list[bytes], size: int) -> None:
    body, whole = Body(given_pieces), b"".join(given_pieces)
    assert len(body) == len(whole)
    for _ in range(2):
        assert body.seek(0) == 0
        read = [bytes(piece) for piece in iter(partial(body.read, size), b"")]
        assert all(0 < len(piece) <= size for piece in read)
        assert b"".join(read) == whole == bytes(body) == b"".join(body)
        assert body.tell() == len(whole)


@given(pieces, st.integers(0, 40))
def test_the_rest_is_read_from_anywhere(given_pieces: list[bytes], start: int) -> None:
    whole = b"".join(given_pieces)
    body, like = Body(given_pieces), io.BytesIO(whole)
    assert body.seek(start) == like.seek(start)
    assert body.read() == like.read()
    assert body.seek(0, io.SEEK_END) == like.seek(0, io.SEEK_END)
    assert body.seek(-len(whole), io.SEEK_CUR) == 0
    with pytest.raises(ValueError, match="no byte -1"):
        body.seek(-1)


class Recorder(AbstractStreamWriter):
    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(chunk))

    async def write_eof(self, chunk: bytes = b"") -> None: ...
    async def drain(self) -> None: ...
    def enable_compression(self, *args: object) -> None: ...
    def enable_chunking(self) -> None: ...
    async def write_headers(self, *args: object) -> None: ...


async def test_it_is_sent_from_its_beginning_and_in_turns() -> None:
    whole = bytes(range(256)) * (AT_ONCE // 100)
    body = Body([whole[:10], memoryview(whole)[10:]])
    body.read(5)
    payload = PAYLOAD_REGISTRY.get(body)
    assert payload.size == len(whole)
    for _ in range(2):
        recorder = Recorder()
        await payload.write(recorder)
        assert b"".join(recorder.sent) == whole
        assert max(map(len, recorder.sent)) == AT_ONCE
        assert not payload.consumed
    assert BodyPayload(Body(["é".encode()])).decode() == "é"


def test_its_digest_is_known_once_it_has_been_taken() -> None:
    body = Body([b"one", memoryview(b"two")])
    assert body.sha256 is None
    body.digest()
    assert body.sha256 == hashlib.sha256(b"onetwo").hexdigest()


@given(pieces, st.lists(st.integers(0, 25), max_size=8))
def test_what_was_gathered_is_taken_in_its_order(given_pieces: list[bytes], sizes: list[int]) -> None:
    gathered, whole = Gathered(), b"".join(given_pieces)
    for piece in given_pieces:
        gathered.add(piece)
    taken = b""
    for wanted in sizes:
        size = min(wanted, gathered.size)
        taken += bytes(gathered.take(size))
        assert bytes(gathered.whole()) == whole[len(taken) :]
        assert gathered.size == len(whole) - len(taken)
    assert whole.startswith(taken)
