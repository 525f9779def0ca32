"""JSON Lines: whatever goes in comes back equal from the standard library's reader."""

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import brotli
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.formats.jsonl import JSONLines, encode_lines
from app.streams import json_field

NASTY = [
    "",
    " ",
    'quote " and \\ backslash',
    "\\",
    '"',
    "\x00\x01\x1f",
    "tab\tnewline\nreturn\r\n",
    "\x7f",
    "\x85",
    "\u2028 and \u2029",
    "\ufeffmark of byte order",
    "‮right to left",
    "🦔 hedgehog, é and e\u0301",
    "</script>",
    "\\u0041",
    '{"json": "in JSON"}',
    "null",
    "x" * 100_000,
]


def lines(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    data = bytes(encode_lines(batch, batch.schema))
    assert data == b"" or data.endswith(b"\n")
    return [json.loads(line) for line in data.split(b"\n")[:-1]]


def one_column(values: Sequence[Any], kind: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values, kind)], schema=pa.schema([pa.field("value", kind)]))


def read_back(values: Sequence[Any], kind: Any) -> list[Any]:
    return [line["value"] for line in lines(one_column(values, kind))]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
def test_nasty_text_comes_back_equal(kind: Any) -> None:
    assert read_back([*NASTY, None], kind) == [*NASTY, None]


@settings(deadline=None)
@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]))))
def test_any_text_comes_back_equal(values: list[str | None]) -> None:
    assert read_back(values, pa.string()) == values


SAME: dict[str, list[Any]] = {"null": [None, None], "empty": ["", ""]}
"""Columns that are the same in every row."""


@pytest.mark.parametrize("names", list(permutations(["null", "empty", "text"])), ids=" ".join)
def test_columns_that_are_the_same_in_every_row_stand_where_they_are(names: Sequence[str]) -> None:
    columns = {**SAME, "text": ["a", "b"]}
    batch = pa.RecordBatch.from_pydict({name: pa.array(columns[name], pa.string()) for name in names})
    found = lines(batch)
    assert found == batch.to_pylist()
    assert [list(line) for line in found] == [list(names)] * 2


def test_rows_that_are_all_the_same_are_as_many() -> None:
    batch = pa.RecordBatch.from_pydict({name: pa.array(values, pa.string()) for name, values in SAME.items()})
    assert lines(batch) == batch.to_pylist()
    assert lines(batch.slice(0, 0)) == []


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(JSON_VALUES, min_size=1), st.sampled_from([None, 0, 1]), st.booleans())
def test_json_columns_are_nested(values: list[Any], indent: int | None, ascii_only: bool) -> None:
    """Printed over several lines too: a line break between tokens must not end the line of the file."""
    printed = [json.dumps(value, indent=indent, ensure_ascii=ascii_only) for value in values]
    batch = pa.RecordBatch.from_arrays([pa.array(printed)], schema=pa.schema([json_field("value")]))
    assert [line["value"] for line in lines(batch)] == values


def test_json_text_is_passed_through_to_the_last_digit() -> None:
    text = '{"big": 18446744073709551615, "long": 0.10000000000000000555111512312, "twice": 1, "twice": 2, "e": 1E400}'
    batch = pa.RecordBatch.from_arrays([pa.array([text])], schema=pa.schema([json_field("value")]))
    assert bytes(encode_lines(batch, batch.schema)).decode() == f'{{"value":{text}}}\n'


def test_carriage_returns_and_line_feeds_between_tokens_become_spaces() -> None:
    batch = pa.RecordBatch.from_arrays(
        [pa.array(['{"a":\r\n1}', None, '[\r"\\n"\r]'])], schema=pa.schema([json_field("v")])
    )
    assert lines(batch) == [{"v": {"a": 1}}, {"v": None}, {"v": ["\n"]}]


MOMENTS = [
    datetime(2023, 7, 19, tzinfo=UTC),
    datetime(2023, 7, 19, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2023, 7, 19, 1, 2, 3, 40, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(1900, 1, 1, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
]


def test_times_come_back_equal_to_the_microsecond() -> None:
    texts = read_back([*MOMENTS, None], pa.timestamp("us", tz="UTC"))
    assert texts[0] == "2023-07-19T00:00:00.000000Z"
    assert [datetime.fromisoformat(text) if text else None for text in texts] == [*MOMENTS, None]


@settings(deadline=None)
@given(st.datetimes(timezones=st.just(UTC)))
def test_any_time_comes_back_equal(moment: datetime) -> None:
    [text] = read_back([moment], pa.timestamp("us", tz="UTC"))
    assert datetime.fromisoformat(text) == moment


def test_times_of_a_zone_are_printed_in_utc_and_times_of_none_without() -> None:
    moment = datetime(2023, 7, 19, 12, tzinfo=UTC)
    assert read_back([moment], pa.timestamp("us", tz="Europe/Berlin")) == ["2023-07-19T12:00:00.000000Z"]
    assert read_back([moment.replace(tzinfo=None)], pa.timestamp("us")) == ["2023-07-19T12:00:00.000000"]


@pytest.mark.parametrize(
    ("unit", "text"),
    [("s", "11476-08-15T05:20:00"), ("ms", "11476-08-15T05:20:00.000"), ("us", "11476-08-15T05:20:00.000000")],
)
def test_years_of_five_digits_are_printed_whole(unit: Any, text: str) -> None:
    seconds = pa.array([300_000_000_000], pa.timestamp("s"))
    batch = pa.RecordBatch.from_arrays([seconds.cast(pa.timestamp(unit))], ["value"])
    assert lines(batch) == [{"value": text}]


def test_numbers_and_truth_values() -> None:
    assert read_back([0, -1, 2**63 - 1, -(2**63), None], pa.int64()) == [0, -1, 2**63 - 1, -(2**63), None]
    assert read_back([2**64 - 1], pa.uint64()) == [2**64 - 1]
    assert read_back([True, False, None], pa.bool_()) == [True, False, None]
    assert read_back([1.5, -0.0, 1e300, 5e-324, None], pa.float64()) == [1.5, -0.0, 1e300, 5e-324, None]


def test_numbers_that_json_does_not_have_are_null() -> None:
    assert read_back([float("nan"), float("inf"), float("-inf")], pa.float64()) == [None, None, None]


def test_lists_are_arrays() -> None:
    assert read_back([["a", None, '"'], [], None], pa.list_(pa.string())) == [["a", None, '"'], [], None]
    assert read_back([None], pa.list_(pa.string())) == [None]


def test_a_slice_gives_its_own_rows() -> None:
    schema = pa.schema([pa.field("text", pa.string()), json_field("json"), pa.field("n", pa.int64())])
    rows = [{"text": f'"{n}"' if n % 3 else None, "json": f"[{n}]\n" if n % 2 else None, "n": n} for n in range(20)]
    batch = pa.RecordBatch.from_pylist(rows, schema=schema)
    whole = lines(batch)
    assert lines(batch.slice(7, 5)) == whole[7:12]
    assert lines(batch.slice(7).slice(2, 3)) == whole[9:12]
    assert lines(batch.slice(20)) == []


def test_names_of_columns_are_escaped() -> None:
    batch = pa.RecordBatch.from_pydict({'a "name"\n': [1], "ü": ["x"]})
    assert lines(batch) == [{'a "name"\n': 1, "ü": "x"}]


def test_columns_of_nulls_alone() -> None:
    assert read_back([None, None], pa.string()) == [None, None]
    batch = pa.RecordBatch.from_arrays([pa.array([None], pa.string())], schema=pa.schema([json_field("v")]))
    assert lines(batch) == [{"v": None}]


@pytest.mark.parametrize(
    ("compression", "decompress"), [(None, bytes), ("gzip", gzip.decompress), ("brotli", brotli.decompress)]
)
def test_a_compressed_file_is_one_stream(compression: str | None, decompress: Any) -> None:
    batch = one_column([f"text {number}" for number in range(5000)], pa.string())
    encoder = JSONLines().open(batch.schema, compression)
    data = b"".join([encoder.encode(batch), encoder.encode(batch.slice(0, 10)), encoder.finish()])
    plain = bytes(encode_lines(batch, batch.schema))
    assert decompress(data) == plain + bytes(encode_lines(batch.slice(0, 10), batch.schema))
