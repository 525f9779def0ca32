"""What a role is assumed with: the service's identity, as settings give it, and the project's external id."""

import re
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr, ValidationError

from app.destinations.s3.roles import Identity, external_id
from app.integrations.kinds import AwsS3 as AwsS3Credentials
from app.settings.services import AwsSettings

ROLE = "arn:aws:iam::123456789012:role/exports/writer"
ORGANIZATION = UUID(int=5)


def test_a_project_has_one_external_id_and_no_other_has_it() -> None:
    assert external_id(ORGANIZATION, 1) == external_id(ORGANIZATION, 1)
    others = {external_id(ORGANIZATION, 2), external_id(UUID(int=6), 1), external_id(ORGANIZATION, 11)}
    assert len(others | {external_id(ORGANIZATION, 1)}) == 4


@pytest.mark.parametrize(
    "arn",
    [ROLE, "arn:aws-us-gov:iam::123456789012:role/r", "arn:aws-cn:iam::123456789012:role/a/b/c_+=,.@-"],
)
def test_the_arn_of_a_role_is_taken(arn: str) -> None:
    assert AwsS3Credentials(name="n", aws_role_arn=arn).aws_role_arn == arn


@pytest.mark.parametrize(
    "arn",
    [
        *("role", "arn:aws:iam::123456789012:user/r", "arn:aws:iam::123:role/r", "arn:aws:iam::123456789012:role/"),
        *(
            "arn:aws:sts::123456789012:assumed-role/r/s",
            f"{ROLE}\n",
            f"{ROLE} ",
            f"arn:aws:iam::123456789012:role{'/a' * 5000}!",
        ),
    ],
)
def test_what_is_no_arn_of_a_role_is_refused_when_it_is_saved(arn: str) -> None:
    with pytest.raises(ValidationError, match="Enter the ARN of a role"):
        AwsS3Credentials(name="n", aws_role_arn=arn)


def aws_settings(**values: Any) -> AwsSettings:
    return AwsSettings(_env_file=None, **values)


def test_the_service_has_the_identity_that_settings_give_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "the host's")  # which nobody has said to use
    assert Identity.of(aws_settings()) is None
    assert Identity.of(aws_settings(aws_identity_of_host=True, aws_sts_region="eu-west-1")) == Identity(
        region="eu-west-1"
    )
    pair = {"aws_access_key_id": SecretStr("key"), "aws_secret_access_key": SecretStr("secret")}
    given = Identity.of(
        aws_settings(**pair, aws_session_token=SecretStr("token"), aws_sts_endpoint="https://sts.example")
    )
    assert given == Identity("key", "secret", "token", "us-east-1", "https://sts.example")
    assert not re.search("secret|token", repr(given))


@pytest.mark.parametrize(
    "values",
    [
        {"aws_access_key_id": "key"},
        {"aws_secret_access_key": "secret"},
        {"aws_session_token": "token"},
        {"aws_access_key_id": "", "aws_secret_access_key": ""},
        {"aws_identity_of_host": True, "aws_access_key_id": "key", "aws_secret_access_key": "secret"},
        {"aws_sts_endpoint": "sts.example"},
        {"aws_sts_endpoint": "https://user:password@sts.example"},
        {"aws_sts_region": "nowhere.example/"},
    ],
    ids=str,
)
def test_half_an_identity_and_two_are_refused_when_the_service_starts(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        aws_settings(**values)
