"""What the errors of Azure Blob Storage mean for a run. The one place that knows which of the SDK's exceptions is what.

A *code* is the service's word for an error. It comes in a header, so answers without a body have it too; what has none
is no answer of the service's.
"""

import re
from collections.abc import Mapping
from typing import Final

from azure.core.exceptions import (
    AzureError,
    DecodeError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseError,
)

from app.errors import Misconfigured, RunError, Throttled, Transient
from app.network import AddressRefused


class NotAzure(Exception):
    """An answer without what the service always says."""


LOST: Final = (AzureError, NotAzure, AddressRefused, OSError, TimeoutError)
"""Everything that a request may fail with."""

CHECK_GRANTS: Final = "exports need the permissions Read, Add, Create, Write, Delete and List"
REFUSED: Final[Mapping[str, str]] = {
    "ContainerNotFound": "does not exist",
    "ContainerDisabled": "is disabled",
    "ResourceNotFound": "was not found; check the container's name and the endpoint",
    "InvalidResourceName": "has a name that the store does not allow",
    "InvalidUri": "does not take keys as this prefix makes them",
    "RequestUrlFailedToParse": "does not take keys as this prefix makes them",
    "OutOfRangeInput": "does not take names as long as the container's, or keys as long as this prefix makes them",
    "AccountIsDisabled": "belongs to a storage account that is disabled",
    "AccountRequiresHttps": "takes HTTPS only; set 'DefaultEndpointsProtocol=https' in the connection string",
    "InvalidAuthenticationInfo": "does not understand the credentials; copy the connection string once more",
    "NoAuthenticationInformation": "saw no credentials; copy the connection string once more",
    "AuthorizationPermissionMismatch": f"refused access: the SAS lacks a permission; {CHECK_GRANTS}",
    "AuthorizationProtocolMismatch": "refused access: the SAS is for HTTPS only",
    "AuthorizationResourceTypeMismatch": "refused access: the SAS must allow the resource types Container and Object",
    "AuthorizationServiceMismatch": "refused access: the SAS is not for the blob service",
    "AuthorizationSourceIPMismatch": "refused access: the SAS does not allow the address that this service has",
    "InsufficientAccountPermissions": f"refused access; {CHECK_GRANTS}",
    "KeyBasedAuthenticationNotPermitted": "refused access: its account allows no account keys, nor what they signed",
    "UnauthorizedBlobOverwrite": "refused to overwrite an object: the SAS has the permission Create, and not Write",
    "BlobImmutableDueToPolicy": "keeps objects from being changed: it has an immutability policy",
    "BlobImmutableDueToLegalHold": "keeps objects from being changed: it has a legal hold",
    "BlobArchived": "holds an archived object under the same key; delete it",
    "BlobOperationNotSupported": "holds an object under the same key that cannot be replaced in blocks; delete it",
    "InvalidBlobType": "holds an append or page blob under the same key; delete it",
    "SnapshotsPresent": "keeps an object from being deleted because it has snapshots",
    "BlockCountExceedsLimit": "has too many blocks of unfinished uploads under the same key; delete it, or wait a week",
    "InvalidHeaderValue": "does not know the protocol's version, or a setting; it is too old",
}
"""Answers that stay the same until somebody changes something."""

UNACCEPTED: Final[Mapping[str, str]] = {
    "AuthenticationFailed": "did not accept the credentials",
    # Of an account's network rules too; emulators say it of all credentials that they do not accept.
    "AuthorizationFailure": "refused access; check the credentials' permissions and the account's network rules",
}
CAUSES: Final = (
    ("date header", "because the clock of this machine is wrong"),
    ("time frame", "because the SAS has expired, or is not valid yet"),
    ("expiry", "because the SAS has expired, or is not valid yet"),
)
"""Words in the details of a failed authentication, and what they mean. The details themselves hold signatures."""
ALL_CAUSES: Final = (
    "check that the account key is the current one, that the SAS has neither expired nor been revoked, and that the "
    "clock of this machine is right"
)

SLOW_DOWN: Final = frozenset({"ServerBusy", "TooManyRequests"})

PASSING: Final[Mapping[str, str]] = {
    "ContainerBeingDeleted": "is being deleted; once that is done, create it again",
    "AccountBeingCreated": "belongs to a storage account that is not ready yet",
    "InvalidBlockList": "does not have all blocks of an object: somebody else has written the same object meanwhile",
    "InvalidBlobOrBlock": "has blocks of somebody else's under the same key; it drops them after a week at the latest",
    "LeaseIdMissing": "has an object on which somebody else holds a lease",
}
"""Answers that change by themselves, and want more than their code said."""
CONFLICTS: Final = frozenset({"BlobAlreadyExists", "ConditionNotMet"})
UNSTEADY: Final = CONFLICTS | {
    "BlobOverwritten",
    "IncompleteBody",
    "Md5Mismatch",
    "OperationTimedOut",
    "RequestTimeout",
}

CODE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def as_run_error(error: Exception, where: str, valid_until: str | None = None) -> Exception:
    """The run error for whatever the client raised; an error that is nothing of its own is given back.

    ``valid_until``: when a SAS expires. The service's own words are never passed on: they may repeat signatures.
    """
    if is_refused(error):
        return Misconfigured(f"{where} is at an address that this service may not connect to")
    match error:
        case HttpResponseError(response=response) if response is not None and not isinstance(error, DecodeError):
            return _answered(error, where, valid_until)
        case UnicodeEncodeError():
            return Misconfigured(f"{where}: no request can be made with these settings; check container and prefix")
        case HttpResponseError() | NotAzure():
            return Misconfigured(f"{where} does not answer as Azure Blob Storage does; check the endpoint")
        case IncompleteReadError() | ServiceResponseError():
            return Transient(f"{where}: the connection failed or timed out ({type(error).__name__})")
        case ServiceRequestError():
            return Transient(f"{where} cannot be reached; check the account's name, the endpoint and the network")
        case AzureError():
            return Misconfigured(f"{where}: the client does not accept the settings ({type(error).__name__})")
        case OSError():
            return Transient(f"{where}: the connection failed or timed out ({type(error).__name__})")
        case _:
            return error


def code_of(error: BaseException) -> str:
    """Empty where the service says none."""
    if not isinstance(error, HttpResponseError) or error.response is None:
        return ""
    # The SDK's own attribute is a text or a member of its enumeration.
    said = getattr(error, "error_code", None) or getattr(error.response, "headers", {}).get("x-ms-error-code") or ""
    code = str(getattr(said, "value", said))
    # A code is a word; anything else may be anything.
    return code if CODE.fullmatch(code) else ""


def is_gone(error: Exception) -> bool:
    """Whether there is no object, and perhaps not even a container that it could be in."""
    return code_of(error) in ("BlobNotFound", "ContainerNotFound", "ResourceNotFound")


def is_conflict(error: Exception) -> bool:
    """Whether the condition of a request did not hold."""
    return code_of(error) in CONFLICTS


def is_denied(error: Exception) -> bool:
    """Whether the service knows the credentials, and does not let them do this."""
    return code_of(error) in ("AuthorizationPermissionMismatch", "AuthorizationResourceTypeMismatch")


def may_have_worked(error: Exception) -> bool:
    """Whether the service may have done what it was asked all the same, because only its answer was lost."""
    if not isinstance(error, HttpResponseError) or error.response is None:
        return not isinstance(error, AddressRefused)
    # Blocks that are gone, and an object that must not be overwritten, may be the work of a request that the client
    # sent before.
    return (error.status_code or 500) >= 500 or code_of(error) in ("InvalidBlockList", "UnauthorizedBlobOverwrite")


def is_refused(error: BaseException) -> bool:
    """Whether the network's rules were against it, however deep that lies."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, AddressRefused):
        seen = seen.__cause__ or seen.__context__
    return seen is not None


def _answered(error: HttpResponseError, where: str, valid_until: str | None) -> RunError:
    code, status = code_of(error), error.status_code or 0
    if code in UNACCEPTED:
        return Misconfigured(f"{where} {UNACCEPTED[code]}{_cause(error, valid_until)} ({code})")
    if code in REFUSED:
        return Misconfigured(f"{where} {REFUSED[code]} ({code})")
    if code in SLOW_DOWN or status in (429, 503):
        return Throttled(f"{where} asks to slow down ({code or f'HTTP {status}'})")
    if code in PASSING:
        return Transient(f"{where} {PASSING[code]} ({code})")
    if not code:
        kind = Transient if status >= 500 else Misconfigured
        return kind(f"{where} does not answer as Azure Blob Storage does (HTTP {status}); check the endpoint")
    if code in UNSTEADY or status >= 500:
        return Transient(f"{where} failed to answer ({code}, HTTP {status})")
    return Misconfigured(f"{where} refused the request ({code}, HTTP {status})")


def _cause(error: HttpResponseError, valid_until: str | None) -> str:
    """The code is the same for a wrong key, for a SAS that has expired and for a wrong clock; the details may tell."""
    details = str(getattr(error, "additional_info", None) or error.message).lower()
    cause = next((f" {meaning}" for words, meaning in CAUSES if words in details), f"; {ALL_CAUSES}")
    return f"{cause}; the SAS is valid until {valid_until}" if valid_until else cause
