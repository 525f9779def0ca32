"""Connection tests of the S3 family (the contract's section 11, and one step beyond it)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError

from app.destinations.keys import Names, join
from app.destinations.s3.client import Connection, create_arguments, open_client
from app.destinations.s3.errors import LOST, NotAssumed, as_run_error, code_of, status_of, unusable, where
from app.destinations.s3.roles import Role, assume, session_name, usable_settings
from app.destinations.s3.store import value_of
from app.destinations.steps import NOT_CONFIGURED, Step, StepResult, Trial
from app.errors import RunError
from app.network import AddressRefused, Network

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client  # stubs: no part of an installation

NEEDS: Final = ("bucket_name", "region", "prefix")
ATTEMPT: Final = "connection-test"
RETRIES: Final = 0
TIMEOUT: Final = 10.0
"""Of one request, in seconds. Somebody is waiting for the answer, and would rather know soon what a run would retry."""
FORBIDDEN: Final = ("AccessDenied", "AllAccessDisabled", "403")
UNKNOWN: Final = (405, 501)
"""How stores answer a request that they do not have."""
CONTENTS: Final = b"Written, read and deleted by the connection test of a batch export.\n"


class Missing(Exception):
    """The credentials lack a permission."""


async def _assume_role(trial: Trial) -> StepResult:
    settings = usable_settings(trial.config, trial.integration)
    if settings.get("aws_access_key_id"):
        return StepResult.skipped("The credentials are access keys, so there is no role to assume.")
    try:
        if (role := Role.of(settings)) is None:
            return StepResult.failed(NOT_CONFIGURED)
        await assume(role, session_name(ATTEMPT), retries=RETRIES, timeout=TIMEOUT)
    except RunError as error:
        return StepResult.failed(error.message)
    except NotAssumed as error:
        return StepResult.failed(error.told.message)
    return StepResult.passed()


async def _bucket_exists(trial: Trial) -> StepResult:
    settings = usable_settings(trial.config, trial.integration)
    bucket = settings["bucket_name"]
    if (reason := _unusable(settings)) is not None:
        return reason
    try:
        async with _open(settings, trial.network) as client:
            await client.head_bucket(Bucket=bucket)
    except ClientError as error:
        match error.response.get("ResponseMetadata", {}).get("HTTPStatusCode"):
            case 404:
                return StepResult.failed(f"Bucket '{bucket}' does not exist or we don't have permissions to use it")
            case 403:
                return StepResult.failed(
                    f"We couldn't access bucket '{bucket}'. Check the provided credentials, endpoint, and region, and "
                    "whether they give access to the bucket"
                )
        return _failed(error, settings)
    except (*LOST, RunError) as error:
        return _failed(error, settings)
    return StepResult.passed()


async def _write_access(trial: Trial) -> StepResult:
    settings = usable_settings(trial.config, trial.integration)
    if (reason := _unusable(settings)) is not None:
        return reason
    try:
        async with _open(settings, trial.network) as client:
            await _Check(client, settings, _key(trial)).all_of_it()
    except Missing as missing:
        return StepResult.failed(str(missing))
    except (*LOST, RunError) as error:
        return _failed(error, settings)
    return StepResult.passed()


ASSUME_ROLE: Final = Step(
    "Ensure we can assume provided AWS role", "Assume the integration's role, where it has one.", _assume_role
)
BUCKET_EXISTS: Final = Step(
    "Check S3 bucket exists",
    "See that the bucket exists and can be reached with the credentials.",
    _bucket_exists,
    NEEDS,
)
WRITE_ACCESS: Final = Step(
    "Check write access",
    "Write, read back, list, send in parts and delete an object under the prefix. Nothing is left behind.",
    _write_access,
    NEEDS,
)


class _Check:
    """One object on its way through everything that an export does, or that people do with what it exports."""

    def __init__(self, client: "S3Client", settings: dict[str, Any], key: str) -> None:
        self._client = client
        self._at: dict[str, Any] = {"Bucket": settings["bucket_name"], "Key": key}
        self._prefix = settings["prefix"]
        self._extra = create_arguments(settings)

    async def all_of_it(self) -> None:
        # Deleting first, what is not there yet: without that permission nothing could be taken away again.
        await self._try("s3:DeleteObject", "delete", self._client.delete_object(**self._at))
        try:
            await self._whole()
            await self._in_parts()
        finally:
            with suppress(*LOST):
                await self._client.delete_object(**self._at)

    async def _whole(self) -> None:
        client, at = self._client, self._at
        putting = client.put_object(**at, **self._extra, Body=CONTENTS)
        value_of(await self._try("s3:PutObject", "write", putting), "ETag")
        answer = await self._try("s3:GetObject", "read", client.get_object(**at))
        if await answer["Body"].read() != CONTENTS:
            raise Missing(
                f"An object under prefix '{self._prefix}' could be written, but is not read as it was written"
            )
        listing = client.list_objects_v2(Bucket=at["Bucket"], Prefix=at["Key"])
        if not (await self._try("s3:ListBucket", "list", listing)).get("KeyCount"):
            raise Missing(f"An object under prefix '{self._prefix}' could be written, but is not listed")

    async def _in_parts(self) -> None:
        await self._complete(await self._begin())
        upload = await self._begin()
        aborting = self._client.abort_multipart_upload(**self._at, UploadId=upload)
        try:
            await self._try("s3:AbortMultipartUpload", "abort an upload", aborting)
        except BaseException as error:
            # Completed, it is an object, which can be deleted: uploads that nobody sees cost as much.
            with suppress(*LOST):
                await self._complete(upload)
            # A store that cannot abort can be exported to all the same.
            if not (isinstance(error, ClientError) and status_of(error) in UNKNOWN):
                raise

    async def _begin(self) -> str:
        creating = self._client.create_multipart_upload(**self._at, **self._extra)
        return value_of(await self._try("s3:PutObject", "send in parts", creating), "UploadId")

    async def _complete(self, upload: str) -> None:
        client, at = self._client, self._at
        try:
            sending = client.upload_part(**at, UploadId=upload, PartNumber=1, Body=CONTENTS)
            etag = value_of(await self._try("s3:PutObject", "send in parts", sending), "ETag")
            parts: Any = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
            completing = client.complete_multipart_upload(**at, UploadId=upload, MultipartUpload=parts)
            value_of(await self._try("s3:PutObject", "send in parts", completing), "ETag")
        except BaseException:
            with suppress(*LOST):
                await client.abort_multipart_upload(**at, UploadId=upload)
            raise

    async def _try(self, permission: str, verb: str, request: Any) -> Any:
        try:
            return await request
        except ClientError as error:
            # Some refusals are of the credentials themselves, whatever they would be allowed to do.
            if code_of(error) not in FORBIDDEN:
                raise
            raise Missing(
                f"The credentials may not {verb} under prefix '{self._prefix}': permission {permission} is missing, or "
                "a policy of the bucket denies it"
            ) from None


@asynccontextmanager
async def _open(settings: dict[str, Any], network: Network) -> AsyncIterator["S3Client"]:
    """:raises app.errors.RunError: for settings with which no request can be made."""
    opening = open_client(Connection.of(settings), network, attempt=ATTEMPT, retries=RETRIES, timeout=TIMEOUT)
    try:
        client = await opening.__aenter__()
    except (AddressRefused, NotAssumed) as error:
        raise as_run_error(error, _where(settings)) from None
    except (BotoCoreError, ValueError) as error:
        raise unusable(_where(settings), error) from None
    try:
        yield client
    finally:
        await opening.__aexit__(None, None, None)


def _unusable(settings: dict[str, Any]) -> StepResult | None:
    """Why no request can be made at all."""
    keys = settings.get("aws_access_key_id") and settings.get("aws_secret_access_key")
    return None if keys or settings.get("aws_role_arn") else StepResult.failed(NOT_CONFIGURED)


def _failed(error: Exception, settings: dict[str, Any]) -> StepResult:
    """As a run would be told; never in the store's own words, which may repeat credentials."""
    told = as_run_error(error, _where(settings))
    return StepResult.failed(told.message if isinstance(told, RunError) else f"unexpected {type(error).__name__}")


def _where(settings: dict[str, Any]) -> str:
    return where(settings["bucket_name"], settings.get("endpoint_url"))


def _key(trial: Trial) -> str:
    """Under the prefix of a window that ends now, and nobody else's."""
    settings = trial.settings
    names = Names.of(
        settings["prefix"],
        "events",
        trial.now - timedelta(hours=1),
        trial.now,
        "",
        numbered=False,
        partitioned=bool(settings.get("partition_rows")),
    )
    return join(names.folder, f".batch-exports-check-{uuid4().hex}")
