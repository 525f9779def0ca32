"""Sending an e-mail over SMTP."""

import asyncio
import ssl
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Final
from uuid import UUID

import aiosmtplib

from app.notifications.channels import DeliveryFailed
from app.settings import NotificationSettings
from app.smtp import SmtpServer

TIME_LIMIT: Final = 30.0
"""Seconds of one attempt. Mail servers make strangers wait."""
PERMANENT: Final = 500
"""Replies from here on will not change (RFC 5321, section 4.2.1)."""


async def send(
    settings: NotificationSettings, recipient: str, subject: str, text: str, message_id: UUID, now: datetime
) -> None:
    """:raises DeliveryFailed: unless the server has taken the message."""
    if settings.smtp_url is None or settings.smtp_from is None:
        raise DeliveryFailed("This service sends no e-mail: BATCH_EXPORTS_SMTP_URL is not set.")
    server = SmtpServer.parse(settings.smtp_url.get_secret_value())
    sender = parseaddr(settings.smtp_from)[1]
    message = _message(settings.smtp_from, recipient, subject, text, message_id, now)
    try:
        async with asyncio.timeout(TIME_LIMIT):
            await aiosmtplib.send(
                message,
                sender=sender,
                recipients=[recipient],
                hostname=server.host,
                port=server.port,
                username=server.user,
                password=server.password,
                use_tls=server.tls,
                start_tls=settings.smtp_starttls and not server.tls,
                timeout=TIME_LIMIT,
            )
    except (aiosmtplib.SMTPException, OSError) as error:
        raise _failure(error) from None


def _message(sender: str, recipient: str, subject: str, text: str, message_id: UUID, now: datetime) -> EmailMessage:
    name, address = parseaddr(sender)
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(name, addr_spec=address)
    message["To"] = recipient
    message["Subject"] = subject
    message["Date"] = format_datetime(now)
    # The same at every attempt: a reader shows a message that arrived twice once.
    message["Message-ID"] = f"<{message_id}@{address.rpartition('@')[2]}>"
    # Out-of-office replies are for people (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message


def _failure(error: Exception) -> DeliveryFailed:
    """In our words: a server's own may name what only its operator should know."""
    match error:
        case aiosmtplib.SMTPRecipientsRefused(recipients=[refused, *_]):
            reason = f"The mail server takes no messages for this address ({refused.code})."
            return DeliveryFailed(reason, final=refused.code >= PERMANENT)
        case aiosmtplib.SMTPAuthenticationError(code=code):
            reason = f"The mail server did not take the user and password of BATCH_EXPORTS_SMTP_URL ({code})."
        case aiosmtplib.SMTPSenderRefused(code=code):
            reason = f"The mail server takes no messages from BATCH_EXPORTS_SMTP_FROM ({code})."
        case aiosmtplib.SMTPResponseException(code=code):
            reason = f"The mail server refused the message ({code})."
        case ssl.SSLError():
            reason = "The mail server has no certificate that can be trusted."
        case OSError():
            reason = f"The mail server does not answer ({type(error).__name__}); check BATCH_EXPORTS_SMTP_URL."
        case _:
            reason = (
                "The mail server does not offer what was asked for, such as encryption or a sign-in; check "
                "BATCH_EXPORTS_SMTP_URL and BATCH_EXPORTS_SMTP_STARTTLS."
            )
    return DeliveryFailed(reason)
