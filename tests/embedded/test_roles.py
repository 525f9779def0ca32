"""The S3 server's STS: roles for its own key, and sessions that are as good as it while they last."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from app.embedded import Stack

ROLE = {"RoleArn": "arn:aws:iam::123456789012:role/r", "RoleSessionName": "name", "ExternalId": "id"}


def open_client(stack: Stack, service: Any, key: str, secret: str, token: str | None = None) -> Any:
    return get_session().create_client(
        service,
        region_name=stack.s3["region"],
        endpoint_url=stack.s3["endpoint_url"],
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=AioConfig(signature_version="s3v4" if service == "s3" else None),
    )


@pytest.fixture
async def session(stack: Stack) -> AsyncIterator[dict[str, Any]]:
    own = (stack.s3["aws_access_key_id"], stack.s3["aws_secret_access_key"])
    async with open_client(stack, "sts", *own) as sts:
        yield (await sts.assume_role(**ROLE, DurationSeconds=900))["Credentials"]


async def test_a_session_can_use_the_bucket_with_its_token_alone(stack: Stack, session: dict[str, Any]) -> None:
    assert timedelta(minutes=14) < session["Expiration"] - datetime.now(UTC) <= timedelta(minutes=15)
    key, secret, token = session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"]
    bucket = stack.s3["bucket_name"]
    async with open_client(stack, "s3", key, secret, token) as s3:
        await s3.list_objects_v2(Bucket=bucket)
        signed = await s3.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket})
    async with httpx.AsyncClient() as client:
        assert (await client.get(signed)).status_code == 200
    for wrong in (None, "another"):
        async with open_client(stack, "s3", key, secret, wrong) as s3:
            with pytest.raises(ClientError, match="InvalidToken"):
                await s3.list_objects_v2(Bucket=bucket)


async def test_a_key_of_nobodys_assumes_no_role(stack: Stack) -> None:
    async with open_client(stack, "sts", "unknown", "unknown") as sts:
        with pytest.raises(ClientError, match="InvalidClientTokenId"):
            await sts.assume_role(**ROLE)
