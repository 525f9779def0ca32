"""Rules of a config that no request is needed for, and keys that no two windows share."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.destinations.keys import manifest_key, object_key, render_prefix
from app.destinations.proposal import Linked, Proposal
from app.destinations.s3 import S3, AwsS3
from app.errors import ValidationFailed
from app.network import Names
from tests.destinations.harness import NETWORK

PLACE = {"bucket_name": "b", "region": "r", "prefix": "p"}
KEYS = {"aws_access_key_id": "a", "aws_secret_access_key": "s"}


def proposal(config: dict[str, Any], integration: Linked | None = None) -> Proposal:
    return Proposal({**PLACE, **config}, Names(NETWORK), integration=integration)


@pytest.mark.parametrize("kind", [S3, AwsS3])
@pytest.mark.parametrize("encryption", [None, "AES256"])
def test_a_kms_key_that_nothing_would_be_encrypted_with_is_refused(
    kind: type[S3 | AwsS3], encryption: str | None
) -> None:
    with pytest.raises(ValidationFailed, match="'kms_key_id' is of use with encryption 'aws:kms' only") as raised:
        kind.validate(proposal({**KEYS, "encryption": encryption, "kms_key_id": "key/1"}))
    assert raised.value.attr == "destination"


@pytest.mark.parametrize(
    "config",
    [
        {"encryption": "aws:kms", "kms_key_id": "key/1"},
        {"encryption": "aws:kms", "kms_key_id": None},
        {"encryption": "AES256", "kms_key_id": None},
        {"encryption": None, "kms_key_id": ""},
    ],
    ids=str,
)
def test_other_encryption_is_taken(config: dict[str, Any]) -> None:
    assert AwsS3.validate(proposal({**KEYS, **config}))["encryption"] == config["encryption"]


def test_a_role_needs_no_keys() -> None:
    role = Linked(1, "aws-s3", {"name": "n", "aws_role_arn": "arn:aws:iam::123456789012:role/r"}, {})
    assert AwsS3.validate(proposal({}, role))["bucket_name"] == "b"


MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=0)
)
SPANS = st.sampled_from([timedelta(minutes=5), timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)])
WINDOWS = st.tuples(st.sampled_from(["events", "persons", "sessions"]), MOMENTS, st.none() | SPANS)
TEMPLATES = st.lists(
    st.sampled_from(["{table}", "{year}", "{month}", "{day}", "{hour}", "{minute}", "{data_interval_start}"])
    | st.sampled_from(["{data_interval_end}", "/", "-", "None", "START", "events", "-0.jsonl", "_manifest.json"])
).map("".join)


@settings(deadline=None, max_examples=60)
@given(TEMPLATES, WINDOWS, WINDOWS)
def test_no_two_windows_share_a_key_whatever_their_models_and_templates(
    template: str, one: tuple[str, datetime, timedelta | None], other: tuple[str, datetime, timedelta | None]
) -> None:
    """Of one export or of two on one prefix, of one file or numbered ones, and of their manifests."""
    assume(one[1:] != other[1:])
    assert keys_of(template, *one).isdisjoint(keys_of(template, *other))


def keys_of(template: str, table: str, end: datetime, span: timedelta | None) -> set[str]:
    start = end - span if span is not None else None
    prefix = render_prefix(template, table, start, end)
    names = {object_key(prefix, start, end, "jsonl", number) for number in (None, 0, 1, 10)}
    return names | {manifest_key(prefix, start, end)}
