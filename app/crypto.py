"""Encryption of JSON documents at rest: typed JSON in, ciphertext stored, several keys at once for rotation.

A document is encrypted as a whole, so that its types survive and not even its keys can be read in the database.
"""

import json
from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from app.errors import SetupError


class Cipher:
    """Encrypts with the first key; decrypts with any of them.

    :raises SetupError: when there is no key, or one is not a Fernet key.
    """

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        if not keys:
            raise SetupError(
                "BATCH_EXPORTS_ENCRYPTION_KEYS is not set; credentials cannot be stored without it. "
                "Make a key with: openssl rand -base64 32 | tr '+/' '-_'"
            )
        try:
            fernets = [Fernet(key.get_secret_value()) for key in keys]
        except ValueError:
            raise SetupError(
                "BATCH_EXPORTS_ENCRYPTION_KEYS holds a key that is not 32 url-safe base64-encoded bytes."
            ) from None
        self._fernet = MultiFernet(fernets)
        self._newest = fernets[0]

    def seal(self, document: dict[str, Any]) -> bytes:
        return self._fernet.encrypt(json.dumps(document, separators=(",", ":")).encode())

    def open(self, sealed: bytes) -> dict[str, Any]:
        """:raises SetupError: when none of the keys fits."""
        try:
            document = json.loads(self._fernet.decrypt(sealed))
        except InvalidToken:
            raise _no_key_fits() from None
        assert isinstance(document, dict)
        return document

    def is_current(self, sealed: bytes) -> bool:
        """Whether it was sealed with the newest key."""
        try:
            self._newest.decrypt(sealed)
        except InvalidToken:
            return False
        return True

    def rotate(self, sealed: bytes) -> bytes:
        """The same document, sealed with the newest key.

        :raises SetupError: when none of the keys fits.
        """
        try:
            return self._fernet.rotate(sealed)
        except InvalidToken:
            raise _no_key_fits() from None


def _no_key_fits() -> SetupError:
    return SetupError(
        "Stored credentials cannot be decrypted: the key they were stored with is not in BATCH_EXPORTS_ENCRYPTION_KEYS."
    )


def new_key() -> str:
    return Fernet.generate_key().decode()
