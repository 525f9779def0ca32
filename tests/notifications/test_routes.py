"""Notifications over HTTP."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select
from standardwebhooks import Webhook as Verifier

from app.models import NotificationChannels
from app.runtime import Runtime
from tests.http.callers import EMPTY_PAGE, Tenant, add_tenant, invalid, open_client, refused
from tests.notifications.receivers import Mailbox, Webhook
from tests.notifications.told import add_export, deliver, tell

URL = "https://db.example.com/hooks"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOTHING: dict[str, Any] = {
    "webhook_url": None,
    "webhook_secret_hint": None,
    "webhook_secret": None,
    "emails": [],
    "email_available": True,
}


async def test_nothing_is_sent_until_somebody_asks_for_it(api: httpx.AsyncClient) -> None:
    assert refused(await api.get("/notifications/")) == (200, NOTHING)
    assert refused(await api.post("/notifications/test/")) == (200, {"results": []})
    assert refused(await api.get("/notifications/deliveries/")) == (200, EMPTY_PAGE)


async def test_a_secret_is_made_shown_once_and_kept(api: httpx.AsyncClient, runtime: Runtime) -> None:
    made = (await api.put("/notifications/", json={"webhook_url": URL, "emails": ["a@b.test", "a@b.test"]})).json()
    secret = made["webhook_secret"]
    kept = {**NOTHING, "webhook_url": URL, "webhook_secret_hint": f"…{secret[-4:]}", "emails": ["a@b.test"]}
    assert made == {**kept, "webhook_secret": secret}
    assert (await api.get("/notifications/")).json() == kept
    other = f"{URL}/other"
    assert (await api.put("/notifications/", json={"webhook_url": other})).json() == {
        **kept,
        "webhook_url": other,
        "emails": [],
    }
    async with runtime.sessions() as session:
        row = (await session.scalars(select(NotificationChannels))).one()
    assert runtime.cipher.open(row.webhook_secret) == {"secret": secret}
    assert secret.encode() not in row.webhook_secret


async def test_a_secret_can_be_given_rotated_and_goes_with_its_webhook(api: httpx.AsyncClient) -> None:
    given = (await api.put("/notifications/", json={"webhook_url": URL, "webhook_secret": SECRET})).json()
    assert (given["webhook_secret"], given["webhook_secret_hint"]) == (None, "…LaSw")
    rotated = (await api.post("/notifications/rotate_secret/")).json()["webhook_secret"]
    assert rotated != SECRET
    assert (await api.get("/notifications/")).json()["webhook_secret_hint"] == f"…{rotated[-4:]}"
    assert (await api.put("/notifications/", json={})).json() == NOTHING
    assert refused(await api.post("/notifications/rotate_secret/")) == (
        400,
        invalid("There is no webhook, so there is no secret."),
    )


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({"webhook_url": "ftp://db.example.com/"}, "webhook_url"),
        ({"webhook_url": "https://"}, "webhook_url"),
        ({"webhook_url": "https://user:hunter2@db.example.com/"}, "webhook_url"),
        ({"webhook_url": "https://db.example.com/a b"}, "webhook_url"),
        ({"webhook_url": "https://db.example.com/" + "x" * 2000}, "webhook_url"),
        ({"webhook_url": "https://db.example.com:99999/"}, "webhook_url"),
        ({"webhook_url": "https://internal.example.com/"}, "webhook_url"),
        ({"webhook_url": "https://169.254.169.254/latest"}, "webhook_url"),
        ({"webhook_url": "https://unknown.example.com/"}, "webhook_url"),
        ({"webhook_url": 7}, "webhook_url"),
        ({"webhook_url": URL, "webhook_secret": "hunter2"}, "webhook_secret"),
        ({"webhook_secret": SECRET}, "webhook_secret"),
        ({"emails": ["ann"]}, "emails__0"),
        ({"emails": ["ann@example.com, eve@example.com"]}, "emails__0"),
        ({"emails": ["ann@example.com\r\nBcc: eve@example.com"]}, "emails__0"),
        ({"emails": ["<ann@example.com>"]}, "emails__0"),
        ({"emails": [f"{number}@example.com" for number in range(21)]}, "emails"),
    ],
)
async def test_what_cannot_be_reached_is_refused_and_nothing_stored(
    api: httpx.AsyncClient, body: Any, attr: str
) -> None:
    answer = await api.put("/notifications/", json=body)
    assert (answer.status_code, answer.json()["attr"]) == (400, attr), answer.text
    assert "hunter2" not in answer.text
    assert (await api.get("/notifications/")).json() == NOTHING


async def test_two_who_begin_at_once_share_one_row(api: httpx.AsyncClient, runtime: Runtime) -> None:
    answers = await asyncio.gather(*(api.put("/notifications/", json={"webhook_url": URL}) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    shown = [answer.json()["webhook_secret"] for answer in answers]
    assert sum(secret is not None for secret in shown) == 1


async def test_a_test_says_how_each_channel_went(
    api: httpx.AsyncClient, both: str, webhook: Webhook, mailbox: Mailbox
) -> None:
    good = [
        {"channel": "webhook", "recipient": None, "delivered": True, "message": None},
        {"channel": "email", "recipient": "ann@example.com", "delivered": True, "message": None},
    ]
    assert (await api.post("/notifications/test/")).json() == {"results": good}
    [posted] = webhook.received
    assert Verifier(both).verify(posted.body, posted.headers)["type"] == "batch_export.test"
    assert mailbox.messages[0]["Subject"] == "Batch Exports: test notification"
    webhook.statuses, mailbox.refusal = [500], "550 No"
    failed = (await api.post("/notifications/test/")).json()["results"]
    assert [(one["delivered"], one["message"]) for one in failed] == [
        (False, "The webhook answered 500; any status from 200 to 299 says that it has the message."),
        (False, "The mail server takes no messages for this address (550)."),
    ]
    assert (await api.get("/notifications/deliveries/")).json() == EMPTY_PAGE


async def test_a_test_holds_no_connection_of_the_database(
    api: httpx.AsyncClient, runtime: Runtime, both: str, webhook: Webhook
) -> None:
    webhook.silent = True
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        testing = group.create_task(api.post("/notifications/test/"))
        while not webhook.received:
            await asyncio.sleep(0.01)
        assert runtime.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        webhook.closing.set()
        await testing


async def test_people_see_what_was_sent_and_what_was_not(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, both: str, webhook: Webhook
) -> None:
    webhook.statuses = [500]
    export = await add_export(runtime, tenant.project_id)
    await tell(runtime, export)
    await deliver(runtime)
    page = (await api.get("/notifications/deliveries/")).json()
    assert (page["next"], page["previous"]) == (None, None)
    by_channel = {one["channel"]: one for one in page["results"]}
    mail, posted = by_channel["email"], by_channel["webhook"]
    assert (mail["status"], mail["recipient"], mail["latest_error"]) == ("Delivered", "ann@example.com", None)
    assert (mail["kind"], mail["export_id"]) == ("run_failed", str(export.id))
    assert (posted["status"], posted["attempts"], posted["finished_at"]) == ("Waiting", 1, None)
    assert posted["latest_error"].startswith("The webhook answered 500")
    assert posted["next_attempt_at"] is not None
    assert webhook.received[0].headers["webhook-id"] == f"msg_{UUID(posted['notification_id']).hex}"


async def test_deliveries_come_in_pages(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.notifications.repository.PAGE_SIZE", 2)
    await api.put("/notifications/", json={"emails": ["ann@example.com"]})
    for _ in range(3):
        await tell(runtime, await add_export(runtime, tenant.project_id))
    first = (await api.get("/notifications/deliveries/")).json()
    second = (await api.get(first["next"])).json()
    assert [len(page["results"]) for page in (first, second)] == [2, 1]
    created = [one["created_at"] for page in (first, second) for one in page["results"]]
    assert created == sorted(created, reverse=True)
    assert second["next"] is None


async def test_another_project_sees_nothing_of_it(
    app: FastAPI, runtime: Runtime, tenant: Tenant, both: str, webhook: Webhook
) -> None:
    await tell(runtime, await add_export(runtime, tenant.project_id))
    sibling = await add_tenant(runtime, organization_id=tenant.organization_id)
    async with open_client(app, sibling) as other:
        assert (await other.get("/notifications/")).json() == NOTHING
        assert (await other.get("/notifications/deliveries/")).json() == EMPTY_PAGE
        await other.put("/notifications/", json={"webhook_url": URL})
        assert (await other.post("/notifications/rotate_secret/")).status_code == 200
    async with open_client(app, tenant) as client:
        kept = (await client.get("/notifications/")).json()
        assert (kept["webhook_url"], kept["webhook_secret_hint"]) == (webhook.url, f"…{both[-4:]}")
