"""JSON is made readable: what cannot be read is taken out, nothing else is touched, and rows are counted."""

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pipeline.clean import Cleaner, clean_batch
from app.streams import Batches, is_json, json_field

SCHEMA = pa.schema([pa.field("event", pa.string()), json_field("properties"), json_field("person_properties")])
PAIR = r"\ud83d\ude00"


def batch(*properties: str | None, person: str | None = None) -> pa.RecordBatch:
    rows = [{"event": r"\u0000", "properties": text, "person_properties": person} for text in properties]
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


@pytest.mark.parametrize(
    ("text", "readable"),
    [
        (r'{"a":"x\u0000y"}', '{"a":"xy"}'),
        (r'{"a\u0000b":1}', '{"ab":1}'),
        (r'{"\ud800":{"\udfff":["\uDBFF"]}}', '{"":{"":[""]}}'),
        (r'{"a":"\udc00\ud800"}', '{"a":""}'),
        (rf'{{"a":"{PAIR}\ud83d"}}', rf'{{"a":"{PAIR}"}}'),
        (rf'{{"a":"\ud83d{PAIR}"}}', rf'{{"a":"{PAIR}"}}'),
        (rf'{{"a":"{PAIR}\ude00"}}', rf'{{"a":"{PAIR}"}}'),
        # Halves that something stands between make no pair, also when that is removed itself.
        (r'{"a":"\ud83d\u0000\ude00"}', '{"a":""}'),
        (r'{"a":"\ud83d \ude00"}', '{"a":" "}'),
        (r'{"a":"\ud83d\\ude00"}', r'{"a":"\\ude00"}'),
        # An escaped backslash before an escape, and what it must not become.
        (r'{"a":"\\\u0000"}', r'{"a":"\\"}'),
        (r'{"a":"\\\u0000u0000"}', r'{"a":"\\u0000"}'),
        (r'{"a":"\"\u0000\""}', r'{"a":"\"\""}'),
        (r'"\uD800"', '""'),
    ],
)
def test_what_cannot_be_read_is_taken_out(text: str, readable: str) -> None:
    cleaned, rows = clean_batch(batch('{"é":1}', text, None, "{}"))
    assert cleaned.column("properties").to_pylist() == ['{"é":1}', readable, None, "{}"]
    assert rows == 1
    json.loads(readable)


@pytest.mark.parametrize(
    "text",
    [
        r'{"a":"\\u0000"}',
        r'{"a":"\\\\ud800"}',
        r'{"\\ud800":"\\\\\\u0000"}',
        rf'{{"{PAIR}":"\uD83D\uDE00"}}',
        r'{"a":"\u0001\u001f\u00e9\u1000\ue000\ucfff"}',
        '{ "a" :\n\t1e400,"b":-0,"c":18446744073709551616 }',
        "{}",
        "null",
        "",
    ],
)
def test_what_can_be_read_is_the_same_batch(text: str) -> None:
    given_batch = batch(text, "{}", None, text)
    cleaned, rows = clean_batch(given_batch)
    assert cleaned is given_batch
    assert rows == 0


def test_a_nul_before_a_digit_is_a_nul() -> None:
    assert clean_batch(batch(r'{"a":"\u00001"}'))[0].column("properties").to_pylist() == ['{"a":"1"}']


def test_a_row_is_counted_once_and_all_its_json_is_cleaned() -> None:
    cleaned, rows = clean_batch(batch(r'"\u0000"', "1", r'"\ud800"', person=r'"\udc00"'))
    assert rows == 3
    assert cleaned.to_pydict() == {
        # No JSON: a text that has these characters, and no escape of another one.
        "event": [r"\u0000"] * 3,
        "properties": ['""', "1", '""'],
        "person_properties": ['""'] * 3,
    }
    assert cleaned.schema.equals(SCHEMA, check_metadata=True)
    assert is_json(cleaned.schema.field("properties"))


def test_slices_are_cleaned_by_themselves() -> None:
    texts = [r'"\u0000a"', "2", r'"b\ud800"', None, "5", r'"\udfff"']
    whole = batch(*texts)
    for start in range(len(texts)):
        for stop in range(start, len(texts) + 1):
            cleaned, rows = clean_batch(whole.slice(start, stop - start))
            assert cleaned.column("properties").to_pylist() == ['"a"', "2", '"b"', None, "5", '""'][start:stop]
            assert rows == len({0, 2, 5} & set(range(start, stop)))


def test_what_lies_under_a_null_stays_there() -> None:
    text = rb'"\u0000""\u0000"'
    half = len(text) // 2
    offsets = pa.array([0, half, 2 * half], pa.int32()).buffers()[1]
    column = pa.Array.from_buffers(pa.string(), 2, [pa.py_buffer(b"\x02"), offsets, pa.py_buffer(text)])
    cleaned, rows = clean_batch(pa.RecordBatch.from_arrays([column], schema=pa.schema([json_field("properties")])))
    assert cleaned.column("properties").to_pylist() == [None, '""']
    assert rows == 1


@given(st.lists(st.text(st.characters(codec=None)).map(json.dumps), max_size=20))
def test_any_text_comes_out_without_nul_and_lone_surrogates(texts: list[str]) -> None:
    expected = [_readable(json.loads(text)) for text in texts]
    cleaned, rows = clean_batch(batch(*texts))
    assert [json.loads(str(text)) for text in cleaned.column("properties").to_pylist()] == expected
    assert rows == sum(before != json.dumps(after) for before, after in zip(texts, expected, strict=True))


def _readable(text: str) -> str:
    return "".join(char for char in text if char != "\0" and not "\ud800" <= char <= "\udfff")


class Tape:
    def __init__(self, *batches: pa.RecordBatch) -> None:
        self.batches = batches
        self.closed = False

    async def play(self) -> Batches:
        try:
            for one in self.batches:
                yield one
        finally:
            self.closed = True


async def test_rows_of_all_batches_are_counted() -> None:
    cleaner, tape = Cleaner(), Tape(batch(r'"\u0000"', "1"), batch("2"), batch(r'"\ud800"', r'"\u0000"'))
    cleaned = [one.column("properties").to_pylist() async for one in cleaner.clean(tape.play())]
    assert cleaned == [['""', "1"], ["2"], ['""', '""']]
    assert cleaner.rows == 3


async def test_closing_early_closes_what_is_cleaned() -> None:
    tape = Tape(batch("1"), batch("2"))
    cleaned = Cleaner().clean(tape.play())
    await anext(cleaned)
    await cleaned.aclose()
    assert tape.closed
