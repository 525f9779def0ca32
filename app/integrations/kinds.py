"""The kinds of integrations: what each one's documents hold (the contract's section 10).

A new kind is one class and one line in ``KINDS``. A key that is marked ``Secret`` belongs into ``sensitive_config`` and
is never shown; every other key belongs into ``config``. Keys are named as destinations name them, for an integration's
keys are laid over those of the destination's config.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from app.destinations.azure_blob.connection import Connection
from app.destinations.s3.roles import Identity, Options, external_id

ROLE: Final = re.compile(r"arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/([!-.0-~]+/)*[A-Za-z0-9_+=,.@-]{1,64}", re.ASCII)


class _SecretMark:
    """Marks a field that is never shown."""


def _filled(value: str) -> str:
    if not value.strip():
        raise PydanticCustomError("blank", "Blank.")
    return value


def _web_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
        parts = urlsplit("")
    if not usable:
        raise PydanticCustomError("invalid", "Enter a valid URL.")
    if parts.username is not None or parts.password is not None:
        # It would be shown with the rest of the config.
        raise PydanticCustomError("invalid", "Credentials do not belong into a URL; send them in 'sensitive_config'.")
    return value


Text = Annotated[str, AfterValidator(_filled)]
Secret = Annotated[str, AfterValidator(_filled), _SecretMark()]


class SslMode(StrEnum):
    DISABLE = "disable"
    ALLOW = "allow"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


class AuthenticationType(StrEnum):
    PASSWORD = "password"  # noqa: S105  its name, not one
    KEY_PAIR = "keypair"


class Credentials(BaseModel):
    """Both documents of an integration together."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: ClassVar[str]

    name: Text | None = Field(None, description="What people call it.")

    @property
    def display_name(self) -> str:
        """What tells it apart in a list."""
        return self.name or self.place

    @property
    def place(self) -> str:
        return self.kind

    def needed(self) -> tuple[str, ...]:
        """Fields without which the others are of no use."""
        return ()

    def issued(self, organization_id: UUID, project_id: int) -> dict[str, str]:
        """What the service itself adds to ``config``: nobody may choose it."""
        return {}

    @classmethod
    def lent(cls, config: Mapping[str, Any], settings: Options) -> dict[str, Any]:
        """What of the service's own goes along whenever a destination uses it; never stored, never shown."""
        return {}

    @classmethod
    def secrets(cls) -> frozenset[str]:
        """The keys of ``sensitive_config``."""
        return frozenset(
            name
            for name, field in cls.model_fields.items()
            if any(isinstance(mark, _SecretMark) for mark in _marks(field.annotation, field.metadata))
        )


def _marks(annotation: Any, metadata: list[Any]) -> list[Any]:
    """Of a field and of the members of its union: an optional secret is marked within."""
    inner = [mark for member in getattr(annotation, "__args__", ()) for mark in getattr(member, "__metadata__", ())]
    return [*metadata, *inner]


def _role(value: str) -> str:
    if ROLE.fullmatch(value) is None:
        raise PydanticCustomError("invalid", "Enter the ARN of a role: 'arn:aws:iam::123456789012:role/name'.")
    return value


class AwsS3(Credentials):
    """Either a role that the service may assume, or a pair of keys."""

    kind = "aws-s3"

    name: Text
    aws_account_id: Text | None = None
    aws_role_arn: Annotated[Text, AfterValidator(_role)] | None = None
    aws_access_key_id: Secret | None = None
    aws_secret_access_key: Secret | None = None

    def needed(self) -> tuple[str, ...]:
        pair = ("aws_access_key_id", "aws_secret_access_key")
        return pair if self.aws_role_arn is None or any(getattr(self, key) for key in pair) else ()

    def issued(self, organization_id: UUID, project_id: int) -> dict[str, str]:
        """For the trust policy of the role."""
        return {"aws_external_id": external_id(organization_id, project_id)} if self.aws_role_arn is not None else {}

    @classmethod
    def lent(cls, config: Mapping[str, Any], settings: Options) -> dict[str, Any]:
        """As whom the role is assumed."""
        return {"aws_identity": Identity.of(settings)} if config.get("aws_role_arn") else {}


class S3Compatible(Credentials):
    kind = "s3-compatible"

    name: Text
    endpoint_url: Annotated[Text, AfterValidator(_web_address)]
    aws_access_key_id: Secret
    aws_secret_access_key: Secret


def _connection_string(value: str) -> str:
    try:
        Connection.parse(value)
    except ValueError as error:
        # In the parser's own words, which repeat nothing of it.
        raise PydanticCustomError("invalid", "It cannot be used: {reason}.", {"reason": str(error)}) from None
    return value


class AzureBlob(Credentials):
    kind = "azure-blob"

    connection_string: Annotated[Secret, AfterValidator(_connection_string)]


class PostgreSQL(Credentials):
    kind = "postgresql"

    host: Text
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] = 5432
    user: Text
    ssl_mode: SslMode = SslMode.REQUIRE
    ssl_root_cert: Text | None = Field(None, description="PEM of the authority to trust, for the modes that verify.")
    password: Secret

    @property
    def place(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


class AwsRedshift(Credentials):
    """The host belongs to the destination: one user may reach several clusters."""

    kind = "aws-redshift"

    user: Text
    password: Secret

    @property
    def place(self) -> str:
        return self.user


class Snowflake(Credentials):
    kind = "snowflake"

    account: Text
    user: Text
    authentication_type: AuthenticationType = AuthenticationType.PASSWORD
    password: Secret | None = None
    private_key: Secret | None = None
    private_key_passphrase: Secret | None = None

    def needed(self) -> tuple[str, ...]:
        return ("password" if self.authentication_type is AuthenticationType.PASSWORD else "private_key",)

    @property
    def place(self) -> str:
        return f"{self.user}@{self.account}"


class GoogleCloudServiceAccount(Credentials):
    """The fields of a service account's key file that are needed to sign in."""

    kind = "google-cloud-service-account"

    project_id: Text
    client_email: Secret
    private_key: Secret
    private_key_id: Secret
    token_uri: Secret

    @property
    def place(self) -> str:
        return self.project_id


class Databricks(Credentials):
    kind = "databricks"

    server_hostname: Text
    client_id: Secret
    client_secret: Secret

    @property
    def place(self) -> str:
        return self.server_hostname


KINDS: Final[dict[str, type[Credentials]]] = {
    kind.kind: kind
    for kind in (
        AwsS3,
        S3Compatible,
        AzureBlob,
        PostgreSQL,
        AwsRedshift,
        Snowflake,
        GoogleCloudServiceAccount,
        Databricks,
    )
}
