"""Roles in other people's AWS accounts, assumed by an identity of the service's own (STS AssumeRole).

Whoever may use this service could name anybody's role. So each project comes with an external id that it cannot choose,
and that the role's trust policy asks for: another project's exports cannot use the role, though the service could.
"""

import asyncio
import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Protocol, Self
from uuid import UUID, uuid5

from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentialResolver, AioRefreshableCredentials
from aiobotocore.session import AioSession, get_session
from botocore import UNSIGNED
from botocore.credentials import CredentialProvider
from pydantic import SecretStr

from app.destinations.proposal import Linked, overlay
from app.destinations.s3.config import CREDENTIALS
from app.destinations.s3.errors import LOST, NotAssumed
from app.destinations.s3.refusals import not_assumed
from app.errors import Misconfigured, Unsupported

SESSION_SECONDS: Final = 3600
"""What every role allows, and the most that AWS gives to an identity that is a role's session itself. Longer runs renew
theirs; the SDK does so a quarter of an hour before it ends."""
NO_IDENTITY: Final = (
    "this service cannot assume AWS roles yet: it has no AWS identity of its own; whoever runs it has to set "
    "BATCH_EXPORTS_AWS_ACCESS_KEY_ID and BATCH_EXPORTS_AWS_SECRET_ACCESS_KEY, or BATCH_EXPORTS_AWS_IDENTITY_OF_HOST"
)
NO_EXTERNAL_ID: Final = "the integration has no external id; make another one for the same role"
NO_NAME: Final = re.compile(r"[^A-Za-z0-9_+=,.@-]")
"""What a session's name cannot have."""
LONGEST_NAME: Final = 64


class Options(Protocol):
    """The settings that make an :class:`Identity`."""

    @property
    def aws_access_key_id(self) -> SecretStr | None: ...
    @property
    def aws_secret_access_key(self) -> SecretStr | None: ...
    @property
    def aws_session_token(self) -> SecretStr | None: ...
    @property
    def aws_identity_of_host(self) -> bool: ...
    @property
    def aws_sts_region(self) -> str: ...
    @property
    def aws_sts_endpoint(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this service is to AWS."""

    access_key: str | None = field(default=None, repr=False)
    """None: whoever the host is (environment, profile, instance), and only if a setting says so."""
    secret_key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    region: str = "us-east-1"
    endpoint_url: str | None = None
    """Of STS; None for Amazon's own in that region."""

    @classmethod
    def of(cls, options: Options) -> Self | None:
        """None: it has none, so it assumes no roles."""
        key, secret, token = (
            value.get_secret_value() if value is not None else None
            for value in (options.aws_access_key_id, options.aws_secret_access_key, options.aws_session_token)
        )
        if key is None and not options.aws_identity_of_host:
            return None
        return cls(key, secret, token, options.aws_sts_region, options.aws_sts_endpoint)


@dataclass(frozen=True, slots=True)
class Role:
    """A role to assume, and as whom."""

    arn: str
    external_id: str
    identity: Identity

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self | None:
        """None: the settings name no role, or have keys too, which are used then.

        :raises Unsupported: where the service has no identity.
        :raises Misconfigured: where the integration was made before there were external ids.
        """
        if not (arn := settings.get("aws_role_arn")) or settings.get("aws_access_key_id"):
            return None
        identity, external_id = settings.get("aws_identity"), settings.get("aws_external_id")
        if not isinstance(identity, Identity):
            raise Unsupported(NO_IDENTITY)
        if not external_id:
            raise Misconfigured(NO_EXTERNAL_ID)
        return cls(arn, external_id, identity)


def external_id(organization_id: UUID, project_id: int) -> str:
    """Of a project, wherever and however often it makes an integration: trust policies need not be changed."""
    return str(uuid5(organization_id, f"project {project_id}"))


def usable_settings(document: Mapping[str, Any], integration: Linked | None) -> dict[str, Any]:
    """The integration's over the config's. A role takes the place of keys that the config still has from before."""
    settings = overlay(document, integration)
    if integration is not None and settings.get("aws_role_arn"):
        own = integration.settings()
        for key in CREDENTIALS:
            settings.pop(key, None)
            if key in own:
                settings[key] = own[key]
    return settings


def session_name(attempt: str) -> str:
    """Tells in the account's own audit log whose requests these are: ``<run id>/<epoch>``, or nothing."""
    return NO_NAME.sub("-", f"batch-exports-{attempt}" if attempt else "batch-exports")[:LONGEST_NAME]


async def assume(role: Role, name: str, *, retries: int, timeout: float) -> AioSession:
    """A session with the role's credentials, renewed as long as it is used.

    :raises NotAssumed: when the role cannot be assumed; later also by requests for which it had to be assumed anew.
    """
    session = AioSession()
    session.register_component("data_loader", shared_session().get_component("data_loader"))
    provider = _Provider(_Assumption(role, name, retries, timeout))
    session.register_component("credential_provider", AioCredentialResolver([provider]))
    await session.get_credentials()
    return session


@cache
def shared_session() -> AioSession:
    """Keeps the descriptions of the services: parsing one anew would hold up the event loop for a tenth of a second.
    And the host's identity, which it renews itself."""
    return get_session()


@cache
def load_service_data() -> None:
    """What the first client of a process would hold up the event loop for, some tenths of a second."""

    async def open_one() -> None:
        async with shared_session().create_client("s3", "us-east-1", config=AioConfig(signature_version=UNSIGNED)):
            pass

    asyncio.run(open_one())


class _Provider(CredentialProvider):
    """The only one its session has: it never falls back to what the host has."""

    METHOD = "assume-role"

    def __init__(self, assumption: "_Assumption") -> None:
        super().__init__()
        self._assumption = assumption

    async def load(self) -> AioRefreshableCredentials:
        fetch = self._assumption.fetch
        return AioRefreshableCredentials.create_from_metadata(await fetch(), refresh_using=fetch, method=self.METHOD)


@dataclass(frozen=True, slots=True)
class _Assumption:
    role: Role
    name: str
    retries: int
    timeout: float

    async def fetch(self) -> dict[str, str]:
        """Credentials in the form that the SDK renews them in."""
        role, identity = self.role, self.role.identity
        try:
            async with AsyncExitStack() as opened:
                sts = await opened.enter_async_context(
                    shared_session().create_client(
                        "sts",
                        region_name=identity.region,
                        endpoint_url=identity.endpoint_url,
                        aws_access_key_id=identity.access_key,
                        aws_secret_access_key=identity.secret_key,
                        aws_session_token=identity.token,
                        config=AioConfig(
                            connect_timeout=5,
                            read_timeout=self.timeout,
                            retries={"mode": "standard", "max_attempts": self.retries},
                        ),
                    )
                )
                answer = await sts.assume_role(
                    RoleArn=role.arn,
                    RoleSessionName=self.name,
                    ExternalId=role.external_id,
                    DurationSeconds=SESSION_SECONDS,
                )
                given = answer["Credentials"]
                return {
                    "access_key": given["AccessKeyId"],
                    "secret_key": given["SecretAccessKey"],
                    "token": given["SessionToken"],
                    "expiry_time": given["Expiration"].isoformat(),
                }
        except (*LOST, KeyError, ValueError) as error:
            raise NotAssumed(not_assumed(error, role.arn, role.external_id)) from None
