"""What the errors of AWS STS mean for a run. Its own words are never passed on: they tell who the service is."""

from collections.abc import Mapping
from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004  botocore's own
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)

from app.destinations.s3.errors import code_of, status_of
from app.errors import Misconfigured, RunError, Throttled, Transient

IDENTITY: Final[Mapping[str, str]] = {
    "ExpiredToken": "has expired",
    "ExpiredTokenException": "has expired",
    "InvalidClientTokenId": "is not known to AWS",
    "UnrecognizedClientException": "is not known to AWS",
    "InvalidAccessKeyId": "is not known to AWS",
    "AuthFailure": "is not known to AWS",
    "InvalidToken": "was refused",
    "SignatureDoesNotMatch": "has another secret access key",
    "IncompleteSignature": "was refused",
    "MissingAuthenticationToken": "was refused",
    "OptInRequired": "may not use AWS STS",
    "RequestExpired": "was refused because the clock of this machine is wrong",
}
"""What is wrong with the service's own identity, which only those can mend who run the service."""
SLOW_DOWN: Final = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"})


def not_assumed(error: Exception, arn: str, external_id: str) -> RunError:
    """Why a role was not assumed."""
    match error:
        case ClientError():
            return _answered(error, arn, external_id)
        case ParamValidationError():
            return _no_role(arn, "ParamValidationError")
        case NoCredentialsError() | PartialCredentialsError():
            return Misconfigured(
                "this service has no AWS identity: its host has none, though BATCH_EXPORTS_AWS_IDENTITY_OF_HOST says so"
            )
        case CredentialRetrievalError():
            return Transient(
                "the AWS identity of this service could not be had from its host (CredentialRetrievalError)"
            )
        case ConnectionError() | HTTPClientError() | OSError():
            return Transient(f"AWS STS cannot be reached to assume role '{arn}' ({type(error).__name__})")
        case BotoCoreError():
            return Misconfigured(
                f"the client of AWS STS does not accept the settings of this service ({type(error).__name__})"
            )
        case _:
            return Misconfigured(
                "what should be AWS STS does not answer as it does; whoever runs this service has to check "
                "BATCH_EXPORTS_AWS_STS_ENDPOINT"
            )


def _answered(error: ClientError, arn: str, external_id: str) -> RunError:
    code, status = code_of(error), status_of(error)
    if code in SLOW_DOWN or status == 429:
        return Throttled(f"AWS STS asks to slow down ({code})")
    if code in IDENTITY:
        return Misconfigured(
            f"the AWS identity of this service {IDENTITY[code]} ({code}); whoever runs the service has to renew it"
        )
    if code in ("AccessDenied", "AccessDeniedException"):
        return Misconfigured(
            f"role '{arn}' may not be assumed by this service: its trust policy must name the service's AWS identity "
            f"and the external id '{external_id}', and that identity needs the permission sts:AssumeRole ({code})"
        )
    if code in ("ValidationError", "InvalidParameterValue", "NoSuchEntity"):
        return _no_role(arn, code)
    if code == "RegionDisabledException":
        return Misconfigured(f"AWS STS is not switched on in its region for the account of role '{arn}' ({code})")
    if status >= 500:
        return Transient(f"AWS STS failed to answer ({code}, HTTP {status})")
    return Misconfigured(f"AWS STS refused to assume role '{arn}' ({code}, HTTP {status})")


def _no_role(arn: str, code: str) -> RunError:
    return Misconfigured(f"'{arn}' is not the ARN of a role that AWS STS could assume ({code})")
