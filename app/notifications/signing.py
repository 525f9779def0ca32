"""Signatures of webhooks, as the Standard Webhooks specification has them.

A receiver checks the HMAC-SHA256 of ``id.timestamp.body``, and refuses old timestamps and ids it has seen.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Final

PREFIX: Final = "whsec_"
LENGTHS: Final = range(24, 65)
"""Bytes that a secret may have (the specification's section on signing)."""
NEW_LENGTH: Final = 32


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(NEW_LENGTH)).decode()


def secret_bytes(secret: str) -> bytes:
    """:raises ValueError: for a text that is no secret."""
    if not secret.startswith(PREFIX):
        raise ValueError("no prefix")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("no base64") from None
    if len(key) not in LENGTHS:
        raise ValueError("wrong length")
    return key


def signed_headers(secret: str, message_id: str, now: datetime, body: bytes) -> Mapping[str, str]:
    """The three headers of one attempt. The id stays the same over all attempts at one message."""
    timestamp = str(int(now.timestamp()))
    content = b".".join((message_id.encode(), timestamp.encode(), body))
    signature = base64.b64encode(hmac.digest(secret_bytes(secret), content, "sha256")).decode()
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": f"v1,{signature}"}
