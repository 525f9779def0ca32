"""Whatever is asked of whatever data: an answer, and never a run that fails. Nothing that was written is executed."""

import io
import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.formats import FORMATS
from app.pipeline.clean import clean_batch
from app.query.moments import zones
from app.query.patterns import check_regexp
from app.query.select import select_list
from app.query.tree import Expression, Field, Type
from app.sources.base import EventQuery, Source
from app.sources.columns import field_of
from app.sources.postgres.events import Events
from app.sources.postgres.patterns import regexp
from app.sources.postgres.values import Values
from tests.query.expressions import EXPRESSIONS, PATTERNS, calls
from tests.sources.store import QUERY, START, TEAM, Connection, add, read

POISON = [
    "{}",
    r'{"text": "\u0000", "odd": "\ud800", "a\u0000": 1, "list": ["\udc00"], "json": "{\"a\": \"\\u0000\"}"}',
    r'{"text": "\\u0000", "odd": "\ud83e\udd94", "int": "\u0031"}',
    '{"int": 9223372036854775808, "float": 1e999, "huge": -1e-999, "flag": "TRUE", "null": null, "date": "2026-02-30"}',
    '{"text": "%", "int": "99999999999999999999999", "date": "9999-12-31T23:59:59-15:00", "list": {"1": []}}',
    json.dumps({"text": "x" * 10_000, "json": "[" * 50_000 + "]" * 50_000, "list": [[[[]]]], "a'b\\\"": "'"}),
    json.dumps(
        {"json": json.dumps([{"a": [1]}] * 2000), "date": "0001-01-01T00:00:00+15:00", "object": {"a": {"b": 1}}}
    ),
    '[1, "two", null]',
    '"text"',
    "null",
    "5",
]
MOMENTS = [
    "-infinity",
    "infinity",
    "4713-01-02 00:00:00 BC",
    "294276-12-31 23:59:59",
    "0001-01-01",
    "9999-12-31 23:59:59",
]
EVERYTHING = replace(QUERY, start=None, select_by="ingested_at")


@pytest.fixture
async def poison(store: Connection) -> None:
    for number, properties in enumerate(POISON):
        person = POISON[-number - 1] if number % 2 else None
        await add(store, START, properties=properties, person_properties=person)
    for moment in MOMENTS:
        await store.execute(
            "INSERT INTO event_store.events (team_id, uuid, event, distinct_id, properties, timestamp, inserted_at) "
            "VALUES ($1, gen_random_uuid(), '', '', '{}', $2::text::timestamptz, $3)",
            TEAM,
            moment,
            START,
        )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(expressions=st.lists(calls(EXPRESSIONS), min_size=1, max_size=8))
@pytest.mark.usefixtures("poison")
async def test_any_expression_has_an_answer_for_any_event(store: Connection, expressions: list[Expression]) -> None:
    """As a column, and, where it is a condition, as a filter. By another driver, which tells what a server says."""
    fields = [Field(f"c{number}", expression) for number, expression in enumerate(expressions)]
    filters = [expression for expression in expressions if expression.type == Type.BOOLEAN]
    assert await _rows(store, replace(EVERYTHING, fields=fields)) == len(POISON) + len(MOMENTS)
    assert await _rows(store, replace(EVERYTHING, columns=("event",), filters=filters)) <= len(POISON) + len(MOMENTS)


async def _rows(store: Connection, query: EventQuery) -> int:
    """How many there are, once all of each has been computed and printed."""
    values = Values()
    statement = Events().select(query, values)
    for setting in values.settings.items():
        await store.execute("SELECT set_config($1, $2, false)", *setting)
    names = ", ".join(f"c{number}" for number in range(len(query.fields or query.columns)))
    found = await store.fetch(f"SELECT md5(asked::text) FROM ({statement}) AS asked ({names})")
    return len(found)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(expressions=st.lists(EXPRESSIONS, min_size=1, max_size=8))
@pytest.mark.usefixtures("poison")
async def test_any_column_is_of_the_type_it_was_said_to_be_and_can_be_written(
    source: Source, expressions: list[Expression]
) -> None:
    # Moments that no column of the event store should hold are no matter of expressions.
    fields = [Field(f"c{number}", expression) for number, expression in enumerate(expressions)]
    table = await read(source, replace(QUERY, fields=fields))
    assert table.schema.equals(pa.schema([field_of(field) for field in fields]), check_metadata=True)
    assert table.num_rows == len(POISON)
    [batch] = table.combine_chunks().to_batches()
    cleaned, _ = clean_batch(batch)
    lines = bytes(FORMATS["JSONLines"].open(table.schema, None).encode(cleaned))
    assert [len(json.loads(line)) for line in lines.splitlines()] == [len(fields)] * len(POISON)
    encoder = FORMATS["Parquet"].open(table.schema, None)
    written = b"".join((encoder.encode(cleaned), encoder.finish()))
    assert pq.read_table(io.BytesIO(written)).num_rows == len(POISON)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pattern=PATTERNS)
async def test_any_regular_expression_that_is_taken_can_be_used(store: Connection, pattern: str) -> None:
    await store.fetchval("SELECT $1 ~ $2", "aAb1 é\n-", regexp(pattern))


@pytest.mark.parametrize(
    "pattern",
    [
        r"\w{255}",
        r"(\w{25}){11}",
        r"(((\w{6}){6}){6})",
        "(?i)" + "[a-zé]" * 300,
        "(a|b|c)?" * 75,
        r"(\w*\s*){100}",
    ],
    ids=lambda pattern: pattern[:20],
)
async def test_the_largest_regular_expressions_can_be_used(store: Connection, pattern: str) -> None:
    assert isinstance(await store.fetchval("SELECT $1 ~ $2", "abc " * 100, regexp(check_regexp(pattern))), bool)


async def test_every_time_zone_that_is_taken_is_known_to_the_event_store(store: Connection) -> None:
    for zone in zones():
        await store.fetchval("SELECT now() AT TIME ZONE $1", zone)


HOSTILE = [
    "'; DROP TABLE event_store.events; --",
    "\\'; DROP TABLE event_store.events; --",
    '"; DROP TABLE event_store.events; --',
    "`; DROP TABLE event_store.events; --",
    "' || pg_sleep(100) || '",
    "$$; SELECT 1; $$",
    "/* */ -- #",
    "{0} {} %s %(x)s $1 :x ?",
    "E'\\x41' U&'\\0041'",
    "batch_exports.value_0",
    "current_setting('batch_exports.value_0')",
    "\u202e\u2028\x7f\x01",
]


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_is_data_wherever_it_stands(source: Source, store: Connection, text: str) -> None:
    await add(store, START, text, properties=json.dumps({text: "value", "list": [text]}))
    quoted = "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    name = "`" + text.replace("\\", "\\\\").replace("`", "\\`") + "`"
    expressions = {
        f"{quoted} AS {name}": text,
        f"properties[{quoted}] AS b": "value",
        f"properties.{name} AS c": "value",
        f"JSONExtractString(properties, {quoted}) AS d": "value",
        f"event = {quoted} AS e": True,
        f"event in ({quoted}, 'x') AS f": True,
        f"replaceAll(event, {quoted}, 'x') AS g": "x",
        f"splitByString({quoted}, event) AS h": ["", ""],
        f"position(event, {quoted}) AS i": 1,
        f"formatDateTime(timestamp, {quoted.replace('%', '%%')}) AS j": text,
        f"replaceRegexpAll('x', 'x', {quoted}) AS k": text.replace("\\0", "x"),
        f"startsWith(event, {quoted}) AS l": True,
        f"[{quoted}] AS m": [text],
        f"if(has(JSONExtract(properties, 'list', 'Array(String)'), {quoted}), {quoted}, '') AS n": text,
    }
    fields = select_list(f"SELECT {', '.join(expressions)} FROM events")
    [row] = (await read(source, replace(QUERY, fields=fields))).to_pylist()
    assert list(row) == [text, *"bcdefghijklmn"]
    assert list(row.values()) == list(expressions.values())
    assert await store.fetchval("SELECT count(*) FROM event_store.events") == 1
