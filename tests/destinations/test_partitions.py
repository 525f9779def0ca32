"""Keys partitioned by the rows: names for every event there may be, never one for two, and read back by others."""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.destinations.files import MAX_KEY_BYTES, check_partitions, check_prefix, partition_columns
from app.destinations.hive import LONGEST, LONGEST_WHOLE, folder_name
from app.destinations.keys import Names
from app.errors import ValidationFailed
from app.streams import Partition

START = datetime(2026, 11, 28, tzinfo=UTC)
HOUR = timedelta(hours=1)
WINDOW = "2026-11-28T00:00:00+00:00-2026-11-28T01:00:00+00:00"
HIVE = "exports/event={event}/date={date}"
BY_BOTH: dict[str, Any] = {"partition_rows": True, "prefix": HIVE}
LONG = "🦔" * 400
HOSTILE = (
    *("$pageview", "a b", "a/b", "../../etc", ".", "..", "...", "a=b", "a:b", "100%", "%2F", "a%2Fb", "a+b", "~", "*"),
    *(
        "{event}",
        "é",
        "🦔",
        "\n",
        "\t\x7f\x01",
        "\\",
        "?#&",
        "'\"",
        "123",
        "null",
        "a" * 160,
        "a" * 161,
        LONG,
        LONG + "!",
    ),
    *("", "_HIVE_DEFAULT_PARTITION__", "date=2026-01-01", "-", " ", "2026-11-28", "%C3%A9", "%f0"),
)


def names(prefix: str = HIVE, start: datetime | None = START, end: datetime = START + HOUR, **values: Any) -> Names:
    usual = {"extension": "parquet", "numbered": False, "partitioned": True}
    return Names.of(prefix, "events", start, end, **{**usual, **values})


def partition(event: str, day: str = "2026-11-28") -> Partition:
    return (("event", event), ("date", day))


def test_a_file_lies_in_the_folder_of_its_partition() -> None:
    found = names().file(0, partition("$pageview"))
    assert found == f"exports/event=%24pageview/date=2026-11-28/{WINDOW}.parquet"
    numbered = names("/{table}//{year}/{date}/", numbered=True, extension="jsonl.gz")
    assert numbered.file(3, partition("e")) == f"events/2026/2026-11-28/{WINDOW}-3.jsonl.gz"
    assert names("{event}").file(0, partition("..")) == f"%2E%2E/{WINDOW}.parquet"


def test_without_the_switch_variables_of_rows_are_taken_literally_as_ever() -> None:
    assert names(partitioned=False).file() == f"{HIVE}/{WINDOW}.parquet"
    assert names("{event}/{nothing}").file() == f"{{event}}/{{nothing}}/{WINDOW}.parquet"
    assert names("a/{year}").file() == f"a/2026/{WINDOW}.parquet"


@pytest.mark.parametrize(
    ("prefix", "common"),
    [
        (HIVE, "exports/"),
        ("a/{year}/b-{date}/{event}", "a/2026/"),
        ("/{event}/x", ""),
    ],
)
def test_the_manifest_lies_where_all_files_have_a_folder_in_common(prefix: str, common: str) -> None:
    found = names(prefix)
    assert found.manifest == f"{common}{WINDOW}_manifest.json"
    assert found.beginning == common
    keys = [found.file(0, partition(event)) for event in HOSTILE]
    assert all(key.startswith(common) and found.is_own(key) for key in keys)
    assert found.is_own(found.manifest)
    later = names(prefix, START + HOUR, START + 2 * HOUR)
    assert not any(later.is_own(key) for key in (*keys, found.manifest))
    assert not any(found.is_own(f"{key}.bak") or found.is_own(f"x/y/{key}") for key in keys)


def test_hostile_names_are_safe_and_are_one_each() -> None:
    folders = [folder_name(event) for event in HOSTILE]
    assert len(set(folders)) == len(HOSTILE)
    assert all(re.fullmatch(r"[A-Za-z0-9_.%-]+", folder) and folder.strip(".") for folder in folders if folder != "...")
    assert all(len(folder) <= LONGEST for folder in folders)
    assert folder_name("") == "__HIVE_DEFAULT_PARTITION__" == unquote(folder_name("__HIVE_DEFAULT_PARTITION__"))
    assert folder_name("__HIVE_DEFAULT_PARTITION__") != folder_name("")


EVENTS = st.one_of(
    st.text(),
    st.text(alphabet="a.%=/_~é🦔"),
    st.text(min_size=10, max_size=30).map(lambda text: text * 16),
    st.sampled_from(HOSTILE),
)
DAYS = st.dates().map(lambda day: day.isoformat())
PREFIXES = st.sampled_from([HIVE, "{date}/{event}", "x{event}.y/{table}", "{event}", "{date}/{hour}/{event}-{year}"])


@settings(deadline=None, max_examples=150)
@given(PREFIXES, EVENTS, EVENTS, DAYS, DAYS, st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_no_two_of_event_date_and_window_share_a_key(
    prefix: str, event: str, other: str, day: str, other_day: str, hour: int, other_hour: int, numbered: bool
) -> None:
    by_date = "{date}" in prefix
    assume((event, day if by_date else "", hour) != (other, other_day if by_date else "", other_hour))
    one = names(prefix, START + hour * HOUR, START + (hour + 1) * HOUR, numbered=numbered)
    two = names(prefix, START + other_hour * HOUR, START + (other_hour + 1) * HOUR, numbered=numbered)
    keys = {one.file(0, partition(event, day)), two.file(0, partition(other, other_day))}
    assert len(keys | {one.manifest}) == 3


@settings(deadline=None, max_examples=300)
@given(EVENTS)
def test_a_name_that_was_not_cut_gives_the_event_back(event: str) -> None:
    folder = folder_name(event)
    assert len(folder) <= LONGEST
    if event and len(folder) <= LONGEST_WHOLE:
        assert unquote(folder, errors="strict") == event
    elif event:
        # Cut between two characters: readers decode it, and make no error of it.
        assert event.startswith(unquote(folder[:-33], errors="strict"))


@settings(deadline=None)
@given(
    st.integers(0, 1024),
    EVENTS,
    DAYS,
    st.sampled_from(["JSONLines", "Parquet"]),
    st.sampled_from([None, "gzip"]),
    st.sampled_from([None, 5]),
)
def test_what_is_checked_makes_no_key_that_is_too_long(
    length: int, event: str, day: str, file_format: str, compression: str | None, size: int | None
) -> None:
    config = {
        **BY_BOTH,
        "prefix": "x" * length + HIVE,
        "file_format": file_format,
        "compression": compression,
        "max_file_size_mb": size,
    }
    try:
        check_prefix(config)
    except ValidationFailed:
        assert length > 700
        return
    extension = {"JSONLines": "jsonl.gz" if compression else "jsonl", "Parquet": "parquet"}[file_format]
    found = names(config["prefix"], numbered=size is not None, extension=extension)
    assert len(found.file(99_999, partition(event, day)).encode()) <= MAX_KEY_BYTES


@pytest.mark.parametrize("prefix", ["a", "a/{year}", "{event}/{nothing}", "{event", "{{event}}", "", "{event!r}"])
def test_a_prefix_that_partitions_nothing_is_refused(prefix: str) -> None:
    with pytest.raises(ValidationFailed, match=r"'prefix' must name \{event\} or \{date\}"):
        check_partitions({"partition_rows": True, "prefix": prefix})
    check_partitions({"partition_rows": False, "prefix": prefix})


@pytest.mark.parametrize("prefix", ["{event}{date}", "a/{event}-{date}/b", "{date}/{event}.{event}"])
def test_two_variables_of_rows_in_one_folder_are_refused(prefix: str) -> None:
    with pytest.raises(ValidationFailed, match="two variables of rows in one folder"):
        check_partitions({"partition_rows": True, "prefix": prefix})


@pytest.mark.parametrize(
    ("model", "prefix", "columns", "told"),
    [
        (
            "persons",
            "{date}",
            ["distinct_id"],
            "names {date}, which persons do not have; set 'partition_rows' to false",
        ),
        (
            "sessions",
            HIVE,
            ["start_timestamp"],
            "names {event}, which sessions do not have; it may name {date} of them",
        ),
        (
            "events",
            HIVE,
            ["event"],
            "names {date}, which is made of the column 'timestamp', and 'hogql_query' leaves that",
        ),
    ],
)
def test_rows_without_the_column_are_refused(model: str, prefix: str, columns: list[str], told: str) -> None:
    with pytest.raises(ValidationFailed) as raised:
        partition_columns({"partition_rows": True, "prefix": prefix}, model, columns)
    assert told in raised.value.detail
    assert raised.value.attr == "destination"


def test_the_columns_of_partitions_are_those_of_the_model() -> None:
    assert partition_columns(BY_BOTH, "events", ["timestamp", "event"]) == {"event": "event", "date": "timestamp"}
    by_date = {"partition_rows": True, "prefix": "{date}"}
    assert partition_columns(by_date, "sessions", ["start_timestamp"]) == {"date": "start_timestamp"}
    assert partition_columns({"prefix": HIVE}, "persons", []) == {}


def test_arrow_and_duckdb_read_event_and_date_back(tmp_path: Path) -> None:
    """As people would: the objects of a prefix, copied to a disk."""
    days = ["1969-12-31", "2026-11-28"]
    for number, event in enumerate(HOSTILE):
        for day in days:
            path = tmp_path / names().file(0, partition(event, day))
            path.parent.mkdir(parents=True)
            pq.write_table(pa.table({"number": [number], "day": [day]}), path)
    types: dict[str, pa.DataType] = {"event": pa.string(), "date": pa.date32()}
    flavour = ds.partitioning(pa.schema(types), flavor="hive")
    by_arrow = ds.dataset(tmp_path / "exports", format="parquet", partitioning=flavour).to_table().to_pylist()
    query = (
        f"SELECT number, day, event, date FROM read_parquet('{tmp_path}/exports/**/*.parquet', hive_partitioning=true)"
    )
    columns = ("number", "day", "event", "date")
    by_duckdb = [dict(zip(columns, row, strict=True)) for row in duckdb.execute(query).fetchall()]
    for rows in (by_arrow, by_duckdb):
        assert len(rows) == len(HOSTILE) * len(days)
        for row in rows:
            event = HOSTILE[row["number"]]
            assert row["date"] == date.fromisoformat(row["day"])
            if len(folder_name(event)) <= LONGEST_WHOLE:
                assert row["event"] == (event or None)
            else:
                assert event.startswith(row["event"][:-33])
