"""Prefixes under which nothing could ever be stored are refused when the export is saved; all others pass."""

from typing import Any

import pytest

from app.destinations.files import MAX_KEY_BYTES, check_prefix
from app.destinations.keys import manifest_key, object_key, render_prefix
from app.errors import ValidationFailed
from tests.destinations.rows import START

WINDOW_BYTES = len("/2026-01-01T00:00:00+00:00-2026-01-02T00:00:00+00:00")


@pytest.mark.parametrize(
    "prefix",
    [
        *("", "/", "a/b", "a//b", "events/{year}/{month}", "{nothing}", "back\\slash", "spa ce", "é/🦔", "tab\there"),
        # Amazon takes them as they are, as long as they do not lead out of the bucket.
        *("a/..", "a/./b", "./a", "a/../b", "a/b/../..", "..a/b", "a/...", "{table}/.."),
    ],
)
def test_what_some_store_takes_passes(prefix: str) -> None:
    check_prefix({"prefix": prefix})


@pytest.mark.parametrize(
    ("prefix", "taken_for"),
    [
        ("..", ""),
        ("../other", "other/"),
        ("/../other", "other/"),
        ("a/../../other", "other/"),
        ("a/.././../b", "b/"),
        ("{year}/../../{table}", "events/"),
    ],
)
def test_what_leads_out_of_the_bucket_is_refused(prefix: str, taken_for: str) -> None:
    with pytest.raises(ValidationFailed) as raised:
        check_prefix({"prefix": prefix})
    assert raised.value.attr == "destination"
    name = "2026-01-01T00:00:00+00:00-2026-01-02T00:00:00+00:00.jsonl"
    assert f"or take it for '{taken_for}{name}'" in raised.value.detail
    assert ".." in raised.value.detail.split("'")[3]


@pytest.mark.parametrize(
    ("config", "ending"),
    [
        ({}, ".jsonl"),
        ({"file_format": "Parquet"}, ".parquet"),
        ({"max_file_size_mb": 5}, "_manifest.json"),
    ],
)
@pytest.mark.parametrize("letter", ["x", "é", "🦔"])
def test_keys_have_a_longest_length_in_bytes(config: dict[str, Any], ending: str, letter: str) -> None:
    room = MAX_KEY_BYTES - WINDOW_BYTES - len(ending)
    size = len(letter.encode())
    check_prefix({"prefix": letter * (room // size), **config})
    with pytest.raises(ValidationFailed, match="stores take 1024 at most") as raised:
        check_prefix({"prefix": letter * (room // size + 1), **config})
    assert f"keys of {WINDOW_BYTES + len(ending) + size * (room // size + 1)} bytes" in raised.value.detail


def test_the_length_counts_once_the_variables_are_filled_in() -> None:
    check_prefix({"prefix": "{second}" * 200})
    with pytest.raises(ValidationFailed, match="too long"):
        check_prefix({"prefix": "{data_interval_start}" * 50})


def test_the_windows_of_a_check_are_named_as_those_of_runs_are() -> None:
    end = START.replace(hour=1)
    prefix = render_prefix("p", "events", START, end)
    assert len(object_key(prefix, START, end, "jsonl")) == len("p") + WINDOW_BYTES + len(".jsonl")
    assert len(manifest_key(prefix, START, end)) == len("p") + WINDOW_BYTES + len("_manifest.json")
