"""What the errors of an S3 store mean for a run. The one place that knows botocore's exceptions."""

from collections.abc import Mapping
from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    HTTPClientError,
    ParamValidationError,
)

from app.errors import Defect, Misconfigured, RunError, Throttled, Transient

REFUSED: Final[Mapping[str, str]] = {
    "NoSuchBucket": "does not exist",
    "AccessDenied": "refused access; check the permissions of the access key",
    "AllAccessDisabled": "refused access; check the permissions of the access key",
    "403": "refused access; check the access key and its permissions",
    "InvalidAccessKeyId": "does not know the access key",
    "SignatureDoesNotMatch": "did not accept the secret access key",
    "ExpiredToken": "refused credentials that have expired",
    "InvalidToken": "refused the credentials",
    "PermanentRedirect": "is in another region",
    "AuthorizationHeaderMalformed": "is in another region",
    "IllegalLocationConstraintException": "is in another region",
    "InvalidBucketName": "has a name that the store does not allow",
    "InvalidArgument": "did not accept a setting; check encryption and addressing",
    "KMS.DisabledException": "cannot use its KMS key: the key is disabled",
    "KMS.NotFoundException": "cannot use its KMS key: there is no such key",
    "KMS.KMSInvalidStateException": "cannot use its KMS key: the key is in a state that allows no use",
    "RequestTimeTooSkewed": "refused the request because the clock of this machine is wrong",
    "QuotaExceeded": "is full: a quota is used up",
    "XMinioStorageFull": "is full",
}
"""Answers that stay the same until somebody changes something."""

SLOW_DOWN: Final = frozenset({"SlowDown", "SlowDownRead", "SlowDownWrite", "RequestLimitExceeded", "Throttling", "429"})


def as_run_error(error: BaseException, bucket: str, endpoint: str | None) -> RunError:
    """The run error for whatever the S3 client raised.

    The store's own words are never passed on: they may repeat the access key or a signed URL.
    """
    where = f"bucket '{bucket}'" + (f" at {endpoint}" if endpoint else "")
    match error:
        case RunError():
            return error
        case ClientError():
            return _answered(error, where)
        case ParamValidationError():
            return Misconfigured(f"{where}: the S3 client does not accept the settings; check the bucket's name")
        case EndpointConnectionError():
            return Transient(f"{where} cannot be reached; check the endpoint and the network")
        case ConnectionClosedError() | HTTPClientError() | OSError() | TimeoutError():
            return Transient(f"{where}: the connection failed or timed out ({type(error).__name__})")
        case BotoCoreError():
            return Misconfigured(f"{where}: the S3 client cannot be set up ({type(error).__name__})")
        case _:
            return Defect(f"{where}: unexpected {type(error).__name__}")


def _answered(error: ClientError, where: str) -> RunError:
    code = str(error.response.get("Error", {}).get("Code", "unknown"))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in REFUSED:
        return Misconfigured(f"{where} {REFUSED[code]} ({code})")
    if code in SLOW_DOWN or status in (429, 503):
        return Throttled(f"{where} asks to slow down ({code})")
    if code in ("RequestTimeout", "NoSuchUpload", "OperationAborted", "ConditionalRequestConflict") or status >= 500:
        return Transient(f"{where} failed to answer ({code}, HTTP {status})")
    return Misconfigured(f"{where} refused the request ({code}, HTTP {status})")
