"""Event stores. A new one is a file here and a line below."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from app.errors import SetupError
from app.sources.base import Source
from app.sources.postgres import PostgresSource

SOURCES: Mapping[str, type[PostgresSource]] = {
    "postgresql": PostgresSource,
}
"""By the scheme of the event store's URL."""


def open_source(url: str, *, batch_bytes: int) -> Source:
    """The event store at ``url``, read in batches of about ``batch_bytes``; connects when it is first asked.

    :raises SetupError: for a URL of no known event store.
    """
    scheme = urlsplit(url).scheme
    if scheme not in SOURCES:
        raise SetupError(f"No event store is known for {scheme}:// URLs; there are {', '.join(SOURCES)}.")
    return SOURCES[scheme](url, batch_bytes)
