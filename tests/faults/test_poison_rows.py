"""Rows that readers choke on: the run completes, every row is there and readable, and all others are as they were."""

import io
import json
import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pyarrow.json
import pyarrow.parquet as pq
import pytest

from app.destinations.base import Unfenced
from app.embedded import Stack
from app.pipeline.deliver import Delivered, deliver
from app.runtime import Runtime
from app.settings import Settings
from tests.factories import make_claim, utc
from tests.worker.bucket import contents

TEAM = 7
MOMENT, START, END = utc(2026, 3, 1, 0, 30), utc(2026, 3, 1), utc(2026, 3, 1, 1)
DEPTH = 3000
MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Row:
    properties: str
    readable: str | None = None
    """What is exported instead, where that is something else."""
    event: str = "e"

    @property
    def exported(self) -> str:
        return self.properties if self.readable is None else self.readable


ROWS = {
    "ordinary": Row('{"a": 1,  "b": "\\u00e9 é"}'),
    "NUL": Row(r'{"a":"x\u0000y","\u0000":{"\u0000":["\u0000"]}}', '{"a":"xy","":{"":[""]}}'),
    "high surrogate": Row(r'{"a":"x\ud800"}', '{"a":"x"}'),
    "low surrogate": Row(r'{"\uDFFF":"\uDC00y"}', '{"":"y"}'),
    "wrong order": Row(r'{"a":"\ude00\ud83d"}', '{"a":""}'),
    "a pair between halves": Row(r'{"a":"\ud83d\ud83d\ude00\ude00"}', r'{"a":"\ud83d\ude00"}'),
    "pair": Row(r'{"a":"\ud83d\ude00 🦔"}'),
    "escaped backslashes": Row(r'{"a":"\\u0000 \\\\ud800"}'),
    "two keys become one": Row(r'{"a":1,"a\u0000":2}', '{"a":1,"a":2}'),
    "numbers out of range": Row(
        '{"a":1e400,"b":-1E-400,"c":9223372036854775808,"d":18446744073709551616,"e":-0,"f":-0.0}'
    ),
    "hundreds of digits": Row(f'{{"a":{"9" * 400},"b":0.{"3" * 400}}}'),
    "ten megabytes": Row(json.dumps({"text": "x" * 10 * MEGABYTE})),
    "ten megabytes with a NUL": Row(
        f'{{"text":"{"y" * 10 * MEGABYTE}\\u0000"}}', f'{{"text":"{"y" * 10 * MEGABYTE}"}}'
    ),
    "deep": Row("[" * DEPTH + "]" * DEPTH),
    "huge key": Row(f'{{"{"k" * MEGABYTE}":1}}'),
    "many keys": Row(json.dumps({f"key {number}": number for number in range(50_000)})),
    "white space": Row('\n\t{\r\n"a"\t:\n[1 ,\n2]}\n'),
    "escaped controls": Row(r'{"a":"\u0001\u001f\n\t\u007f\u2028"}'),
    "no object": Row('"text"'),
    "a number": Row("-0"),
    "null": Row("null"),
    "odd event": Row("{}", event='\x01\x7f\u2028\ufeff\uffff"\\\n🦔'),
}
CHANGED = sum(row.readable is not None for row in ROWS.values())


@pytest.fixture
async def stored(settings: Settings) -> dict[UUID, Row]:
    rows = {uuid4(): row for row in ROWS.values()}
    store = await asyncpg.connect(settings.event_store_dsn)
    await store.executemany(
        "INSERT INTO event_store.events (team_id, uuid, event, distinct_id, properties, timestamp, inserted_at) "
        "VALUES ($1, $2, $3, 'user', $4, $5, $5)",
        [(TEAM, uuid, row.event, row.properties, MOMENT) for uuid, row in rows.items()],
    )
    await store.close()
    return rows


async def export(runtime: Runtime, stack: Stack, file_format: str) -> tuple[Delivered, bytes]:
    prefix = f"poison-{uuid4().hex}"
    config = {**stack.s3, "prefix": prefix, "file_format": file_format}
    claim = make_claim(
        project_id=TEAM,
        destination_type="S3",
        destination_config=runtime.cipher.seal(config),
        start=START,
        end=END,
    )
    delivered = await deliver(runtime, claim, Unfenced())
    [data] = (await contents(stack, prefix)).values()
    return delivered, data


async def test_json_lines_hold_every_row_as_json_that_all_can_read(
    runtime: Runtime, stack: Stack, stored: dict[UUID, Row]
) -> None:
    delivered, data = await export(runtime, stack, "JSONLines")
    assert (delivered.written.rows, delivered.sanitised) == (len(ROWS), CHANGED)
    lines = data.decode().split("\n")
    assert lines.pop() == ""
    found = {}
    for line in lines:
        uuid = UUID(line[len('{"uuid":"') :][:36])
        row = stored[uuid]
        # Between tokens a line break is white space, as any other.
        text = re.sub("[\r\n]", " ", row.exported)
        assert f'"properties":{text},"distinct_id"' in line
        found[uuid] = line
        if row is not ROWS["deep"]:
            document = json.loads(line, parse_constant=pytest.fail)
            assert document["event"] == row.event
            assert document["properties"] == json.loads(row.exported)
            # To encode it fails where half a surrogate pair is left.
            assert "\\u0000" not in json.dumps(document).replace("\\\\", "")
            json.dumps(document, ensure_ascii=False).encode()
    assert found.keys() == stored.keys()


BEYOND_ARROW = ("two keys become one", "numbers out of range")
"""JSON by its definition, and kept to the last digit, but more than this reader takes."""


async def test_another_reader_takes_the_lines(runtime: Runtime, stack: Stack, stored: dict[UUID, Row]) -> None:
    """Each by itself, for it wants all of a column to be of one type."""
    _, data = await export(runtime, stack, "JSONLines")
    beyond = [ROWS[name] for name in BEYOND_ARROW]
    for line in data.splitlines(keepends=True):
        uuid = UUID(line[len('{"uuid":"') :][:36].decode())
        if stored[uuid] not in beyond:
            options = pyarrow.json.ReadOptions(block_size=len(line) + 1)
            table = pyarrow.json.read_json(io.BytesIO(line), options)
            assert table.column("uuid").to_pylist() == [str(uuid)]


async def test_parquet_holds_every_row_byte_by_byte(runtime: Runtime, stack: Stack, stored: dict[UUID, Row]) -> None:
    delivered, data = await export(runtime, stack, "Parquet")
    assert (delivered.written.rows, delivered.sanitised) == (len(ROWS), CHANGED)
    table: list[dict[str, Any]] = pq.read_table(io.BytesIO(data)).to_pylist()
    found = {UUID(row["uuid"]): (row["event"], row["properties"]) for row in table}
    assert found == {uuid: (row.event, row.exported) for uuid, row in stored.items()}


@pytest.mark.parametrize(
    "text",
    [
        '{"a":NaN}',
        '{"a":Infinity}',
        "{'a':1}",
        '{"a":\x01}',
        r'{"a":"\u00"}',
        r'{"a":"\ug000"}',
        '{"a":"\n"}',
        "[" * 100_000,
    ],
)
async def test_what_is_no_json_cannot_be_stored(settings: Settings, text: str) -> None:
    store = await asyncpg.connect(settings.event_store_dsn)
    with pytest.raises((asyncpg.DataError, asyncpg.StatementTooComplexError)):
        await store.fetch("SELECT $1::json", text)
    await store.close()


@pytest.mark.parametrize("text", ["E'\\x00'", "E'\\xff'", "E'\\xed\\xa0\\x80'", "chr(0)", "U&'\\D800'"])
async def test_what_is_no_text_cannot_be_stored(settings: Settings, text: str) -> None:
    """So columns of plain text need no cleaning: they hold no NUL, no lone surrogate and no broken UTF-8."""
    store = await asyncpg.connect(settings.event_store_dsn)
    assert await store.fetchval("SHOW server_encoding") == "UTF8"
    with pytest.raises((asyncpg.DataError, asyncpg.SyntaxOrAccessError, asyncpg.ProgramLimitExceededError)):
        await store.fetch(f"SELECT {text}::text")
    await store.close()
