"""Deliveries reach real servers, at least once, and are given up in the end."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
import structlog
from sqlalchemy import text
from standardwebhooks import Webhook as Verifier

from app.models import DeliveryStatus, NotificationDelivery
from app.notifications.claims import ParcelRepository
from app.notifications.courier import AT_ONCE, LONGEST_WAIT, Courier, backoff, open_courier
from app.runtime import Runtime
from tests.http.callers import Tenant
from tests.notifications.receivers import Mailbox, Webhook
from tests.notifications.told import add_export, deliver, deliveries, delivery, tell

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No wait between attempts; a random number of 0."""
    monkeypatch.setattr("app.notifications.courier.random.random", lambda: 0.0)
    with structlog.testing.capture_logs():
        yield


async def lose(runtime: Runtime) -> None:
    """Every lease has lapsed."""
    async with runtime.sessions.begin() as session:
        await session.execute(text("UPDATE notification_deliveries SET lease_until = now() - interval '1 second'"))


async def age(runtime: Runtime, by: str) -> None:
    async with runtime.sessions.begin() as session:
        await session.execute(text(f"UPDATE notification_deliveries SET created_at = now() - interval '{by}'"))


async def of_channel(runtime: Runtime, channel: str) -> NotificationDelivery:
    [one] = [one for one in await deliveries(runtime) if one.channel == channel]
    return one


async def test_both_channels_get_it_and_nobody_twice(
    runtime: Runtime, tenant: Tenant, both: str, webhook: Webhook, mailbox: Mailbox
) -> None:
    export = await add_export(runtime, tenant.project_id, name="Bestellungen 📦\r\nBcc: eve@example.com")
    await tell(runtime, export)
    assert [await deliver(runtime) for _ in range(2)] == [2, 0]
    assert {one.status for one in await deliveries(runtime)} == {DeliveryStatus.DELIVERED}
    [posted] = webhook.received
    document = Verifier(both).verify(posted.body, posted.headers)
    assert document["type"] == "batch_export.run_failed"
    assert document["data"]["export_id"] == str(export.id)
    assert posted.headers["content-type"] == "application/json"
    [mail] = mailbox.messages
    assert (mail["To"], mail["From"]) == ("ann@example.com", "Batch Exports <exports@example.com>")
    assert mail["Subject"] == "Batch Exports: Bestellungen 📦 Bcc: eve@example.com batch export run failure"
    assert mail["Bcc"] is None
    assert mailbox.envelopes[0].rcpt_tos == ["ann@example.com"]
    assert str(export.id) in mail.get_content()


async def test_each_recipient_has_a_message_and_a_fate_of_their_own(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, mailbox: Mailbox
) -> None:
    await api.put("/notifications/", json={"emails": ["ann@example.com", "bob@example.com"]})
    await tell(runtime, await add_export(runtime, tenant.project_id))
    await deliver(runtime)
    assert sorted(envelope.rcpt_tos for envelope in mailbox.envelopes) == [["ann@example.com"], ["bob@example.com"]]
    assert len({mail["Message-ID"] for mail in mailbox.messages}) == 2


@pytest.mark.parametrize("status", [301, 404, 429, 500, 503])
async def test_what_was_not_taken_is_sent_again_under_the_same_id(
    runtime: Runtime, tenant: Tenant, both: str, webhook: Webhook, status: int
) -> None:
    webhook.statuses = [status, status, 200]
    await tell(runtime, await add_export(runtime, tenant.project_id))
    await deliver(runtime)
    waiting = await of_channel(runtime, "webhook")
    assert (waiting.status, waiting.attempts, waiting.lease_until) == ("Waiting", 1, None)
    assert waiting.latest_error == (
        f"The webhook answered {status}; any status from 200 to 299 says that it has the message."
    )
    assert [await deliver(runtime) for _ in range(3)] == [1, 1, 0]
    done = await of_channel(runtime, "webhook")
    assert (done.status, done.attempts, done.latest_error) == ("Delivered", 3, None)
    assert len({one.headers["webhook-id"] for one in webhook.received}) == 1
    assert len({one.body for one in webhook.received}) == 1


async def test_a_receiver_that_is_gone_is_not_asked_again(
    runtime: Runtime, tenant: Tenant, both: str, webhook: Webhook
) -> None:
    webhook.statuses = [410]
    await tell(runtime, await add_export(runtime, tenant.project_id))
    assert [await deliver(runtime) for _ in range(2)] == [2, 0]
    gone = await of_channel(runtime, "webhook")
    assert (gone.status, gone.attempts) == ("GivenUp", 1)


@pytest.mark.parametrize(("refusal", "status"), [("550 No such user", "GivenUp"), ("450 Busy", "Waiting")])
async def test_an_address_that_does_not_exist_is_given_up(
    runtime: Runtime, tenant: Tenant, both: str, mailbox: Mailbox, refusal: str, status: str
) -> None:
    mailbox.refusal = refusal
    await tell(runtime, await add_export(runtime, tenant.project_id))
    await deliver(runtime)
    refused = await of_channel(runtime, "email")
    assert refused.status == status
    assert refused.latest_error == f"The mail server takes no messages for this address ({refusal[:3]})."


async def test_after_a_day_it_is_given_up_and_logged(
    runtime: Runtime, tenant: Tenant, both: str, webhook: Webhook
) -> None:
    webhook.statuses = [500]
    await tell(runtime, await add_export(runtime, tenant.project_id))
    await age(runtime, "23 hours 59 minutes")
    await deliver(runtime)
    assert (await of_channel(runtime, "webhook")).status == "Waiting"
    await age(runtime, "24 hours 1 minute")
    with structlog.testing.capture_logs() as logs:
        await deliver(runtime)
    assert (await of_channel(runtime, "webhook")).status == "GivenUp"
    assert [entry["event"] for entry in logs] == ["notification given up"]


async def test_several_couriers_share_the_work(runtime: Runtime, tenant: Tenant, both: str, webhook: Webhook) -> None:
    for _ in range(10):
        await tell(runtime, await add_export(runtime, tenant.project_id))
    sent = await asyncio.gather(*(deliver(runtime) for _ in range(5)))
    assert sum(sent) == 20
    assert max(sent) <= AT_ONCE
    ids = [one.headers["webhook-id"] for one in webhook.received]
    assert len(ids) == len(set(ids)) == 10


async def test_what_a_lost_courier_held_goes_to_another_and_it_writes_nothing_more(
    runtime: Runtime, tenant: Tenant, both: str, webhook: Webhook
) -> None:
    await tell(runtime, await add_export(runtime, tenant.project_id))
    async with runtime.sessions.begin() as session:
        lost = await ParcelRepository(session).claim(AT_ONCE, MINUTE)
    assert (len(lost), await deliver(runtime)) == (2, 0)
    await lose(runtime)
    async with runtime.sessions.begin() as session:
        parcels = ParcelRepository(session)
        assert len(await parcels.claim(AT_ONCE, MINUTE)) == 2
        for parcel in lost:
            await parcels.give_up(parcel, "too late")
            await parcels.retry_later(parcel, "too late", MINUTE)
            await parcels.delivered(parcel)
    assert {(one.status, one.attempts, one.latest_error) for one in await deliveries(runtime)} == {("Waiting", 2, None)}
    await lose(runtime)
    assert await deliver(runtime) == 2
    assert {(one.status, one.attempts) for one in await deliveries(runtime)} == {("Delivered", 3)}


async def test_a_webhook_that_was_taken_away_gets_nothing_more(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, both: str, webhook: Webhook
) -> None:
    await tell(runtime, await add_export(runtime, tenant.project_id))
    await api.put("/notifications/", json={"emails": ["ann@example.com"]})
    await deliver(runtime)
    assert webhook.received == []
    assert (await of_channel(runtime, "webhook")).latest_error == "The project has no webhook any more."


async def test_a_courier_serves_until_it_is_stopped_whatever_the_database_does(
    runtime: Runtime, tenant: Tenant, both: str, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0
    claim = ParcelRepository.claim

    async def fail_at_first(self: ParcelRepository, limit: int, lease: timedelta) -> object:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OSError("away")
        if tries == 2:
            raise RuntimeError("a bug")
        return await claim(self, limit, lease)

    monkeypatch.setattr(ParcelRepository, "claim", fail_at_first)
    hasty = runtime.settings.model_copy(update={"notification_poll_interval": timedelta(milliseconds=10)})
    object.__setattr__(runtime, "settings", hasty)
    await tell(runtime, await add_export(runtime, tenant.project_id))
    async with asyncio.timeout(20), open_courier(runtime):
        while not all(one.status == "Delivered" for one in await deliveries(runtime)):
            await asyncio.sleep(0.01)
    assert tries > 2


async def test_a_delivery_that_hangs_does_not_keep_the_process(
    runtime: Runtime, tenant: Tenant, both: str, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.repeating.STOP_LIMIT", 0.05)
    webhook.silent = True
    await tell(runtime, await add_export(runtime, tenant.project_id))
    async with asyncio.timeout(5), open_courier(runtime):
        while not webhook.received:
            await asyncio.sleep(0.01)
    assert (await of_channel(runtime, "webhook")).lease_until is not None


async def test_an_unexpected_error_is_told_without_its_text(
    runtime: Runtime, tenant: Tenant, both: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tell(runtime, await add_export(runtime, tenant.project_id))
    one = (await of_channel(runtime, "webhook")).id

    async def fail(self: object, parcel: object) -> None:
        raise RuntimeError("whsec_secret")

    monkeypatch.setattr("app.notifications.sending.Sender.send", fail)
    await Courier(runtime).deliver_due()
    assert (await delivery(runtime, UUID(str(one)))).latest_error == (
        "Unexpected RuntimeError; the worker's log says more."
    )


def test_waits_grow_at_random_up_to_ten_minutes() -> None:
    assert [backoff(attempt, 1.0).total_seconds() for attempt in (1, 2, 3, 10, 11, 10_000)] == [1, 2, 4, 512, 600, 600]
    assert backoff(5, 0.0) == timedelta(0)
    assert backoff(20, 0.5) == LONGEST_WAIT / 2
