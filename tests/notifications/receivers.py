"""Other people's servers: a webhook and a mail server, both real, on ports of their own."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

HOST = "127.0.0.1"


@dataclass
class Received:
    headers: dict[str, str]
    body: bytes


@dataclass
class Webhook:
    """Answers with the statuses it is given, one after another, and with the last of them from then on."""

    port: int = 0
    statuses: list[int] = field(default_factory=lambda: [204])
    received: list[Received] = field(default_factory=list)
    silent: bool = False
    """Whether it keeps what it is sent without an answer."""
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}/hooks"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(headers, await request.read()))
        if self.silent:
            await self.closing.wait()
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return web.Response(status=status, headers={"location": "http://localhost:1/"})


@asynccontextmanager
async def open_webhook(trust: ssl.SSLContext | None = None) -> AsyncIterator[Webhook]:
    webhook = Webhook(scheme="http" if trust is None else "https")
    app = web.Application()
    app.router.add_route("*", "/hooks", webhook.handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0, ssl_context=trust)
    await site.start()
    webhook.port = runner.addresses[0][1]
    try:
        yield webhook
    finally:
        webhook.closing.set()
        await runner.cleanup()


@dataclass
class Mailbox:
    port: int = 0
    envelopes: list[Envelope] = field(default_factory=list)
    refusal: str | None = None
    """What every recipient is answered with instead."""

    @property
    def messages(self) -> list[EmailMessage]:
        return [message_from_bytes(one.original_content or b"", policy=policy.SMTP) for one in self.envelopes]

    async def handle_RCPT(  # noqa: N802  as the library wants it
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.refusal is not None:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 OK"


@asynccontextmanager
async def open_mailbox(password: bytes | None = None) -> AsyncIterator[Mailbox]:
    """With a ``password``, whoever does not sign in with it sends nothing."""
    mailbox = Mailbox()

    def sign_in(server: Any, session: Any, envelope: Any, mechanism: str, data: LoginPassword) -> AuthResult:
        return AuthResult(success=data.password == password, handled=False)

    def protocol() -> SMTP:
        needs = password is not None
        with warnings.catch_warnings():
            # That a password comes in the clear is no danger here.
            warnings.simplefilter("ignore")
            return SMTP(
                mailbox,
                hostname="mail.test",
                auth_required=needs,
                auth_require_tls=False,
                authenticator=sign_in if needs else None,
                loop=asyncio.get_running_loop(),
            )

    server = await asyncio.get_running_loop().create_server(protocol, HOST, 0)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
