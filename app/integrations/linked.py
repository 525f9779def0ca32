"""An integration as destinations see it, its secrets opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from app.crypto import Cipher
from app.destinations.proposal import Linked
from app.destinations.s3.roles import Options
from app.integrations.kinds import KINDS


class Sealed(Protocol):
    """An integration as it is stored: a row of its table, or what a claim has brought along."""

    @property
    def id(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def sensitive_config(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class SealedIntegration:
    id: int
    kind: str
    config: Mapping[str, Any]
    sensitive_config: bytes


def open_linked(integration: Sealed, cipher: Cipher, settings: Options) -> Linked:
    """:raises app.errors.SetupError: when its secrets cannot be decrypted."""
    secrets = cipher.open(integration.sensitive_config)
    lent = KINDS[integration.kind].lent(integration.config, settings) if integration.kind in KINDS else {}
    return Linked(integration.id, integration.kind, {**integration.config, **lent}, secrets)
