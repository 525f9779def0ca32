"""The kinds of integrations: what each one's documents hold (the contract's section 10).

A new kind is one class and one line in ``KINDS``. A key that is marked ``Secret`` belongs into ``sensitive_config`` and
is never shown; every other key belongs into ``config``. Keys are named as destinations name them, for an integration's
keys are laid over those of the destination's config.
"""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError


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


class AwsS3(Credentials):
    """Either a role that the service may assume, or a pair of keys."""

    kind = "aws-s3"

    name: Text
    aws_account_id: Text | None = None
    aws_role_arn: Text | None = None
    aws_access_key_id: Secret | None = None
    aws_secret_access_key: Secret | None = None

    def needed(self) -> tuple[str, ...]:
        pair = ("aws_access_key_id", "aws_secret_access_key")
        return pair if self.aws_role_arn is None or any(getattr(self, key) for key in pair) else ()


class S3Compatible(Credentials):
    kind = "s3-compatible"

    name: Text
    endpoint_url: Annotated[Text, AfterValidator(_web_address)]
    aws_access_key_id: Secret
    aws_secret_access_key: Secret


class AzureBlob(Credentials):
    kind = "azure-blob"

    connection_string: Secret


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
