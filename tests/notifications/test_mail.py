"""E-mails against a real SMTP server."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr, ValidationError

from app.errors import SetupError
from app.notifications.channels import DeliveryFailed
from app.notifications.mail import send
from app.settings import Settings, load_settings
from app.smtp import SmtpServer
from tests.notifications.receivers import Mailbox, open_mailbox

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ID = UUID("0190a5a8-0000-7000-8000-00000000000a")


def at(settings: Settings, port: int, user: str = "", **values: object) -> Settings:
    return settings.model_copy(update={"smtp_url": SecretStr(f"smtp://{user}127.0.0.1:{port}"), **values})


async def reason(settings: Settings) -> str:
    with pytest.raises(DeliveryFailed) as failed:
        await send(settings, "ann@example.com", "Hello", "Hello\n", uuid4(), NOW)
    return failed.value.reason


async def test_a_message_arrives_as_it_was_written(settings: Settings, mailbox: Mailbox) -> None:
    sender = "Täglich <exports@example.com>"
    configured = settings.model_copy(update={"smtp_from": sender})
    await send(configured, "ann@example.com", "Über 📦" + " lang" * 40, "Grüße\n.\nvon allen\n", ID, NOW)
    [mail] = mailbox.messages
    assert mail["Subject"] == "Über 📦" + " lang" * 40
    assert mail["From"].addresses[0].display_name == "Täglich"
    assert mail["Message-ID"] == f"<{ID}@example.com>"
    assert mail["Date"].datetime == NOW
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().splitlines() == ["Grüße", ".", "von allen"]
    assert mailbox.envelopes[0].mail_from == "exports@example.com"


async def test_whoever_must_sign_in_does(settings: Settings) -> None:
    async with open_mailbox(password=b"p@ss:w/rd") as mailbox:
        await send(
            at(settings, mailbox.port, "exports%40example.com:p%40ss%3Aw%2Frd@"), "a@b.test", "Hello", "Hi\n", ID, NOW
        )
        assert len(mailbox.messages) == 1
        wrong = await reason(at(settings, mailbox.port, "exports:wrong@"))
        assert wrong == "The mail server did not take the user and password of BATCH_EXPORTS_SMTP_URL (535)."


async def test_encryption_is_insisted_on_unless_it_is_switched_off(settings: Settings, mailbox: Mailbox) -> None:
    said = await reason(at(settings, mailbox.port, smtp_starttls=True))
    assert said.startswith("The mail server does not offer what was asked for, such as encryption")
    assert mailbox.envelopes == []


async def test_a_server_that_is_not_there_is_told(settings: Settings) -> None:
    assert (await reason(at(settings, 1))).startswith("The mail server does not answer (")
    without = settings.model_copy(update={"smtp_url": None})
    assert await reason(without) == "This service sends no e-mail: BATCH_EXPORTS_SMTP_URL is not set."


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("smtp://mail.test", SmtpServer("mail.test", 587, False)),
        ("smtps://u:p%40@mail.test", SmtpServer("mail.test", 465, True, "u", "p@")),
        ("smtp://127.0.0.1:25", SmtpServer("127.0.0.1", 25, False)),
    ],
)
def test_a_servers_address_is_a_url(text: str, server: SmtpServer) -> None:
    assert SmtpServer.parse(text) == server
    assert "p@" not in repr(server)


@pytest.mark.parametrize(
    "url", ["mail.test:587", "http://mail.test", "smtp://", "smtp://host:notaport", "smtp://u:hunter2@host:99999"]
)
def test_what_is_no_address_is_one_line_without_the_password(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("BATCH_EXPORTS_SMTP_URL", url)
    with pytest.raises(SetupError, match="BATCH_EXPORTS_SMTP_URL is not usable: it should look like") as error:
        load_settings()
    assert "hunter2" not in str(error.value)


def test_a_mail_server_needs_a_sender_of_one_line() -> None:
    with pytest.raises(ValidationError, match="SMTP_FROM"):
        Settings(_env_file=None, smtp_url=SecretStr("smtp://mail.test"))
    with pytest.raises(ValidationError):
        Settings(_env_file=None, smtp_from="a@b.test\nBcc: eve@example.com")
