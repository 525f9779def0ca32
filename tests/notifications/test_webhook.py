"""Webhooks lead to the vetted address and no further."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.network import Network, parse_allowed
from app.notifications import webhook as sending
from app.notifications.channels import DeliveryFailed
from app.notifications.webhook import REFUSED, post
from tests.notifications.receivers import Webhook, open_webhook

HEADERS = {"webhook-id": "msg_1"}
LOOPBACK = Network(*parse_allowed(["127.0.0.1", "localhost"]))


async def reason(url: str, network: Network = LOOPBACK) -> str:
    with pytest.raises(DeliveryFailed) as failed:
        await post(url, b"{}", HEADERS, network)
    return failed.value.reason


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "internal.example.com", "169.254.169.254"])
async def test_an_address_inside_is_never_connected_to(webhook: Webhook, host: str) -> None:
    assert await reason(f"http://{host}:{webhook.port}/hooks", Network()) == REFUSED
    assert webhook.received == []


async def test_the_address_that_was_looked_at_is_the_one_connected_to(
    webhook: Webhook, names: dict[str, tuple[str, ...]]
) -> None:
    # This name leads nowhere but here: were it resolved once more by anybody else, there would be no connection.
    names["hooks.example.com"] = ("127.0.0.1",)
    await post(f"http://hooks.example.com:{webhook.port}/hooks?a=b", b"{}", HEADERS, LOOPBACK)
    [received] = webhook.received
    assert received.headers["host"] == f"hooks.example.com:{webhook.port}"
    # A name that may lead anywhere by itself is refused as soon as it leads inside.
    assert await reason(f"http://hooks.example.com:{webhook.port}/hooks", Network()) == REFUSED


async def test_the_next_address_is_tried(webhook: Webhook, names: dict[str, tuple[str, ...]]) -> None:
    names["hooks.example.com"] = ("127.0.0.9", "127.0.0.1")
    network = Network(*parse_allowed(["127.0.0.0/8"]))
    await post(f"http://hooks.example.com:{webhook.port}/hooks", b"{}", HEADERS, network)
    assert len(webhook.received) == 1


async def test_redirects_are_not_followed(webhook: Webhook) -> None:
    webhook.statuses = [307]
    assert (await reason(webhook.url)).startswith("The webhook answered 307;")


async def test_no_proxy_of_the_environment_is_asked(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    await post(webhook.url, b"{}", HEADERS, LOOPBACK)


async def test_a_receiver_that_says_nothing_is_not_waited_for(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "TIME_LIMIT", 0.2)
    webhook.silent = True
    assert await reason(webhook.url) == "The webhook did not answer within 0 seconds."


async def test_nobody_there_is_told(webhook: Webhook) -> None:
    assert await reason("http://localhost:1/") == "The webhook could not be reached (ConnectError)."
    assert await reason("http://unknown.example.com/") == "The webhook could not be reached (OSError)."


class Authority:
    """One that only this test trusts."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        self.certificate = self._sign(self._name, self._key, authority=True)

    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.certificate.public_bytes(serialization.Encoding.PEM).decode())

    def server(self, host: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        file = self._directory / f"{host}.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(self._sign(name, key, host=host).public_bytes(serialization.Encoding.PEM) + secret)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _sign(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, host: str = "", authority: bool = False
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if host:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    authority = Authority(tmp_path)
    monkeypatch.setattr(sending, "_trust", authority.trusted)
    return authority


async def test_the_certificate_is_the_names_not_the_addresss(
    authority: Authority, names: dict[str, tuple[str, ...]]
) -> None:
    names["hooks.example.com"] = names["other.example.com"] = ("127.0.0.1",)
    async with open_webhook(authority.server("hooks.example.com")) as webhook:
        url = f"https://hooks.example.com:{webhook.port}/hooks"
        await post(url, b"{}", HEADERS, LOOPBACK)
        assert len(webhook.received) == 1
        untrusted = "The webhook's host has no certificate that can be trusted."
        assert await reason(url.replace("hooks.example", "other.example")) == untrusted
        assert len(webhook.received) == 1
