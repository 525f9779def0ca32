"""What the store computes of its rows is what this process computes of their UUIDs."""

from dataclasses import replace
from uuid import UUID

import pytest

from app.fingerprint import Fingerprint, uuid_hash
from app.sources.base import Source
from tests.sources.store import END, QUERY, START, TEAM, Connection, add, fill, read

ONE, TWO = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000e"


async def test_store_and_process_agree(source: Source, store: Connection) -> None:
    await fill(store, 3000, 1)
    await add(store, END)
    await add(store, START, "other")
    await add(store, START, team_id=TEAM + 1)
    query = replace(QUERY, columns=("uuid",), exclude_events=("other",))
    uuids = [str(uuid) for uuid in (await read(source, query)).column("uuid").to_pylist()]
    assert await source.fingerprint(query) == Fingerprint.of(uuids) == Fingerprint(3000, uuid_hash(uuids))


async def test_an_empty_window_has_the_fingerprint_of_nothing(source: Source) -> None:
    assert await source.fingerprint(QUERY) == Fingerprint() == Fingerprint.of([])


@pytest.mark.parametrize("uuid", [ONE, TWO, str(UUID(int=0)), str(UUID(int=2**128 - 1))])
async def test_each_row_by_itself_agrees(source: Source, store: Connection, uuid: str) -> None:
    await add(store, START, uuid=UUID(uuid))
    assert await source.fingerprint(QUERY) == Fingerprint.of([uuid])


def test_the_definition() -> None:
    """By the digits that another program, md5sum, prints for the two texts; the sum goes over 2^64."""
    one, two = 0x5EFD31A12B13A949, 0xB7A62B4D6E2892FF
    assert uuid_hash([ONE]) == one
    assert uuid_hash([ONE, TWO]) == one + two - 2**64


def test_order_and_case_do_not_matter_and_doubles_do() -> None:
    assert uuid_hash([ONE, TWO]) == uuid_hash([TWO, ONE.upper()])
    assert len({uuid_hash(uuids) for uuids in ([], [ONE], [ONE, ONE], [ONE, TWO], [ONE, ONE, TWO], [TWO])}) == 6


def test_parts_add_up() -> None:
    uuids = [str(UUID(int=number)) for number in range(100)]
    assert sum((Fingerprint.of([uuid]) for uuid in uuids), Fingerprint()) == Fingerprint.of(uuids)
