"""Notifications from the command line."""

import pytest

from app.settings import Settings
from tests.cli.commands import environment, run
from tests.http.callers import Tenant
from tests.notifications.receivers import Mailbox, Webhook


@pytest.fixture
def env(settings: Settings) -> dict[str, str]:
    assert settings.smtp_url is not None
    return environment(
        settings,
        BATCH_EXPORTS_SMTP_URL=settings.smtp_url.get_secret_value(),
        BATCH_EXPORTS_SMTP_FROM=settings.smtp_from or "",
        BATCH_EXPORTS_SMTP_STARTTLS="false",
        BATCH_EXPORTS_ALLOWED_PRIVATE_HOSTS="127.0.0.1,localhost",
    )


async def test_what_is_set_is_shown_and_tried(
    env: dict[str, str], tenant: Tenant, webhook: Webhook, mailbox: Mailbox
) -> None:
    project = ("--project", str(tenant.project_id))
    channels = ("--webhook-url", webhook.url, "--email", "ann@example.com")
    made = (await run(env, "notifications", "set", *project, *channels, "--json")).document
    assert made["webhook_secret"].startswith("whsec_")
    shown = (await run(env, "notifications", "show", *project, "--json")).document
    assert shown == {**made, "webhook_secret": None}
    tried = (await run(env, "notifications", "test", *project, "--json")).document
    assert [one["delivered"] for one in tried["results"]] == [True, True]
    rotated = await run(env, "notifications", "set", *project, *channels, "--rotate-secret")
    assert "(it is not shown again)" in rotated.out
    assert made["webhook_secret"] not in rotated.out
    webhook.statuses = [500]
    failed = await run(env, "notifications", "test", *project)
    assert failed.reason.startswith("batch-exports: webhook: The webhook answered 500;")


async def test_a_project_that_is_none_and_an_address_inside_are_one_line(env: dict[str, str], tenant: Tenant) -> None:
    missing = await run(env, "notifications", "show", "--project", "99")
    assert missing.reason == "batch-exports: There is no project 99."
    inside = ("--project", str(tenant.project_id), "--webhook-url", "http://169.254.169.254/")
    refused = await run(env, "notifications", "set", *inside)
    assert refused.reason.startswith("batch-exports: The webhook's host is not on the public internet")
