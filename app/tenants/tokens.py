"""Making, hashing and naming the two kinds of token."""

import hashlib
import secrets

API_KEY_PREFIX = "phx_"
PROJECT_TOKEN_PREFIX = "phc_"  # noqa: S105  a prefix, not a password


def new_api_key() -> str:
    """A personal API key: 256 random bits, so its plain SHA-256 is safe to keep."""
    return API_KEY_PREFIX + secrets.token_urlsafe(32)


def new_project_token() -> str:
    return PROJECT_TOKEN_PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
