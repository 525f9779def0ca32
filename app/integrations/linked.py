"""An integration as destinations see it, its secrets opened."""

from app.crypto import Cipher
from app.destinations.proposal import Linked
from app.models import Integration


def open_linked(integration: Integration, cipher: Cipher) -> Linked:
    """:raises app.errors.SetupError: when its secrets cannot be decrypted."""
    secrets = cipher.open(integration.sensitive_config)
    return Linked(integration.id, integration.kind, integration.config, secrets)
