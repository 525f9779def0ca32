from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest
from pydantic import SecretStr

from app.settings import Settings
from tests.conftest import Clock
from tests.notifications.receivers import Mailbox, Webhook, open_mailbox, open_webhook


@pytest.fixture
def clock() -> Clock:
    """Now: receivers of webhooks refuse signatures that are old."""
    clock = Clock()
    clock.now = datetime.now(UTC)
    return clock


@pytest.fixture
async def webhook() -> AsyncIterator[Webhook]:
    async with open_webhook() as opened:
        yield opened


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with open_mailbox() as opened:
        yield opened


@pytest.fixture
def settings(settings: Settings, mailbox: Mailbox) -> Settings:
    return settings.model_copy(
        update={
            "smtp_url": SecretStr(f"smtp://127.0.0.1:{mailbox.port}"),
            "smtp_from": "Batch Exports <exports@example.com>",
            "smtp_starttls": False,
        }
    )


@pytest.fixture
async def both(api: httpx.AsyncClient, webhook: Webhook) -> str:
    """The project has a webhook and an address; the webhook's secret."""
    answer = await api.put("/notifications/", json={"webhook_url": webhook.url, "emails": ["ann@example.com"]})
    assert answer.status_code == 200, answer.text
    secret: str = answer.json()["webhook_secret"]
    return secret
