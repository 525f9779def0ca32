"""What the errors of an S3 store mean for a run. The one place that knows which of botocore's exceptions is what."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ChecksumError,
    ClientError,
    ConnectionError,  # noqa: A004  botocore's own
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ParamValidationError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from app.errors import Misconfigured, RunError, Throttled, Transient
from app.network import AddressRefused


class NotS3(Exception):
    """An answer without what every S3 store says."""


class NotAssumed(Exception):
    """The role that a request was to be made in could not be assumed; ``told`` is why, in a run's terms."""

    def __init__(self, told: RunError) -> None:
        super().__init__(str(told))
        self.told = told


LOST: Final = (ClientError, BotoCoreError, ResponseParserError, NotS3, NotAssumed, OSError, TimeoutError)
"""Everything that a request may fail with."""

REFUSED: Final[Mapping[str, str]] = {
    "NoSuchBucket": "does not exist",
    "404": "was not found; check the bucket's name and the endpoint",
    "AccessDenied": "refused access; check the permissions of the access key",
    "AllAccessDisabled": "refused access; check the permissions of the access key",
    "403": "refused access; check the access key and its permissions",
    "InvalidAccessKeyId": "does not know the access key",
    "SignatureDoesNotMatch": "did not accept the secret access key",
    "ExpiredToken": "refused credentials that have expired",
    "InvalidToken": "refused the credentials",
    "PermanentRedirect": "is in another region",
    "301": "is in another region",
    "AuthorizationHeaderMalformed": "is in another region",
    "IllegalLocationConstraintException": "is in another region",
    "InvalidBucketName": "has a name that the store does not allow",
    "KeyTooLongError": "does not take keys as long as this prefix makes them",
    "InvalidArgument": "did not accept a setting; check encryption and addressing",
    "KMS.DisabledException": "cannot use its KMS key: the key is disabled",
    "KMS.NotFoundException": "cannot use its KMS key: there is no such key",
    "KMS.KMSInvalidStateException": "cannot use its KMS key: the key is in a state that allows no use",
    "RequestTimeTooSkewed": "refused the request because the clock of this machine is wrong",
    "QuotaExceeded": "is full: a quota is used up",
    "XMinioAdminBucketQuotaExceeded": "is full: a quota is used up",
    "XMinioStorageFull": "is full",
}
"""Answers that stay the same until somebody changes something."""

SLOW_DOWN: Final = frozenset(
    {
        *("SlowDown", "SlowDownRead", "SlowDownWrite", "RequestLimitExceeded", "429"),
        *("Throttling", "ThrottlingException", "KMS.ThrottlingException"),
    }
)
FULL: Final = 507
"""Insufficient Storage, whatever the code with it."""

PASSING: Final = frozenset(
    {
        "BadDigest",
        "ConditionalRequestConflict",
        "IncompleteBody",
        "NoSuchUpload",
        "OperationAborted",
        "PreconditionFailed",
        "RequestTimeout",
        "XAmzContentSHA256Mismatch",
    }
)
"""Damage on the way, and conflicts with what somebody else does to the same object at this moment."""

CONDITIONS: Final = ("if-match", "if-none-match")

CODE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def where(bucket: str, endpoint: str | None) -> str:
    """The bucket and its store, as error texts name them. An endpoint is cut down to its address: its path, its query
    and what stands before an @ may be secret.

    :raises ValueError: for an endpoint that is no URL.
    """
    if endpoint is None:
        return f"bucket '{bucket}'"
    parts = urlsplit(endpoint)
    return f"bucket '{bucket}' at {parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def location(bucket: str, endpoint: str | None) -> str:
    """The bucket and its store, in one form however they are spelled: ``s3://127.0.0.1:9000/exports``."""
    if endpoint is None:
        return f"s3://amazonaws.com/{bucket}"
    parts = urlsplit(endpoint)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"s3://{host}/{bucket}" if parts.port in (None, usual) else f"s3://{host}:{parts.port}/{bucket}"


def unusable(where: str, error: Exception) -> RunError:
    """For errors that come before any request."""
    return Misconfigured(f"{where}: the S3 client does not accept the settings ({type(error).__name__})")


def as_run_error(error: Exception, where: str) -> Exception:
    """The run error for whatever the S3 client raised; an error that is nothing of its own is given back.

    The store's own words are never passed on: they may repeat the access key or a signed URL.
    """
    if _is_refused(error):
        return Misconfigured(f"{where} is at an address that this service may not connect to")
    match error:
        case NotAssumed():
            return error.told
        case ClientError():
            return _answered(error, where)
        case ParamValidationError() | UnicodeEncodeError():
            return Misconfigured(f"{where}: the S3 client does not accept the settings; check bucket and prefix")
        case ResponseParserError() | NotS3():
            return Misconfigured(f"{where} does not answer as an S3 store does; check the endpoint")
        case RecursionError():
            # The SDK's, where a store redirects it and does not say to which region.
            return Misconfigured(f"{where} {REFUSED['PermanentRedirect']}, or at another address")
        case EndpointConnectionError():
            return Transient(f"{where} cannot be reached; check endpoint, region and network")
        case SSLError():
            return Transient(f"{where}: no secure connection could be made; check the endpoint and its certificate")
        case ConnectionError() | HTTPClientError() | IncompleteReadError() | ChecksumError() | OSError():
            return Transient(f"{where}: the connection failed or timed out ({type(error).__name__})")
        case BotoCoreError():
            return unusable(where, error)
        case _:
            return error


def may_have_worked(error: Exception) -> bool:
    """Whether the store may have done what it was asked all the same, because only its answer was lost."""
    match error:
        case ClientError():
            # An upload that is not there any more was completed by a request that the client sent before.
            return status_of(error, 500) >= 500 or code_of(error) == "NoSuchUpload"
        case ParamValidationError() | UnicodeEncodeError():
            return False
        case _:
            return True


def is_conflict(error: Exception) -> bool:
    """Whether the condition of a request did not hold, or somebody else changed the object at that moment."""
    if not isinstance(error, ClientError):
        return False
    return status_of(error) == 412 or code_of(error) in ("PreconditionFailed", "ConditionalRequestConflict")


def is_gone(error: Exception) -> bool:
    return isinstance(error, ClientError) and (code_of(error) == "NoSuchKey" or code_of(error) == "404")


def is_denied(error: Exception) -> bool:
    """Whether the store knows the access key, and does not let it do this."""
    return isinstance(error, ClientError) and code_of(error) in ("AccessDenied", "AllAccessDisabled")


def is_unknown_condition(error: ClientError) -> bool:
    """Whether the store does not take conditional requests. Some name the header that they do not know."""
    if status_of(error) == 501 or code_of(error) == "NotImplemented":
        return True
    told = str(error.response.get("Error", {})).lower()
    return status_of(error) == 400 and any(name in told for name in CONDITIONS)


def _is_refused(error: BaseException) -> bool:
    """Whether the network's rules were against it. The SDK wraps what its resolver raises."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, AddressRefused):
        inner = getattr(seen, "kwargs", {}).get("error")
        seen = inner if isinstance(inner, BaseException) else seen.__cause__ or seen.__context__
    return seen is not None


def _answered(error: ClientError, where: str) -> RunError:
    code, status = code_of(error), status_of(error)
    if code in REFUSED:
        return Misconfigured(f"{where} {REFUSED[code]} ({code})")
    if status == FULL:
        return Misconfigured(f"{where} is full ({code}, HTTP {status})")
    if code in SLOW_DOWN or status in (429, 503):
        return Throttled(f"{where} asks to slow down ({code})")
    if code.isdigit() and status >= 500:
        # Of a gateway in between, perhaps; or no store at all: what the client cannot read counts as a 500 for it.
        return Transient(f"{where} does not answer as an S3 store does (HTTP {status}); check the endpoint")
    if code in PASSING or status >= 500:
        return Transient(f"{where} failed to answer ({code}, HTTP {status})")
    return Misconfigured(f"{where} refused the request ({code}, HTTP {status})")


def code_of(error: ClientError) -> str:
    """A word; anything else may be anything."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code if CODE.fullmatch(code) is not None else "unknown"


def status_of(error: ClientError, otherwise: int = 0) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", otherwise))
