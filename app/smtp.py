"""The address of a mail server. Pure."""

from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import unquote, urlsplit

PORTS: Final = {"smtp": 587, "smtps": 465}
"""Of mail submission (RFC 8314)."""


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """``tls``: encrypted from the first byte, rather than by STARTTLS."""

    host: str
    port: int
    tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """``smtp://user:password@host:587``, or ``smtps://``; what is special in user or password is percent-encoded.

        :raises ValueError: for another text, which is not repeated: it may hold a password.
        """
        try:
            url = urlsplit(text)
            if url.scheme in PORTS and url.hostname:
                port = PORTS[url.scheme] if url.port is None else url.port
                return cls(url.hostname, port, url.scheme == "smtps", _decoded(url.username), _decoded(url.password))
        except ValueError:
            pass
        raise ValueError("it should look like smtp://user:password@host:587")


def _decoded(text: str | None) -> str | None:
    return unquote(text) if text else None
