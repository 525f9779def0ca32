"""Signatures, held against the specification's own library."""

import base64
import json
import secrets
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.notifications.signing import new_secret, secret_bytes, signed_headers

BODY = json.dumps({"type": "batch_export.run_failed", "name": "naïve 📦"}).encode()


@pytest.mark.parametrize("length", [24, 32, 64])
def test_others_verify_what_is_signed(length: int) -> None:
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(length)).decode()
    headers = signed_headers(secret, "msg_1", datetime.now(UTC), BODY)
    assert Webhook(secret).verify(BODY, dict(headers))


def test_they_refuse_what_was_changed_is_old_or_another_ones() -> None:
    secret, now = new_secret(), datetime.now(UTC)
    headers = dict(signed_headers(secret, "msg_1", now, BODY))
    wrong = [
        (secret, BODY + b" ", headers),
        (secret, BODY, {**headers, "webhook-id": "msg_2"}),
        (new_secret(), BODY, headers),
        (secret, BODY, dict(signed_headers(secret, "msg_1", now - timedelta(minutes=6), BODY))),
    ]
    for key, body, sent in wrong:
        with pytest.raises(WebhookVerificationError):
            Webhook(key).verify(body, sent)


@pytest.mark.parametrize(
    "text", ["", "whsec_", "secret", "whsec_é", "whsec_!!!!", "whsec_" + "A" * 8, "whsec_" + "A" * 88, "A" * 44]
)
def test_what_is_no_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        secret_bytes(text)


def test_every_new_secret_is_another_and_good() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert {len(secret_bytes(one)) for one in made} == {32}
