"""How notifications read."""

import json
from uuid import UUID

import pytest

from app.notifications.messages import Message, single_line
from app.notifications.notices import Kind
from tests.factories import utc
from tests.notifications.told import DATA

ID = UUID("0190a5a8-0000-7000-8000-00000000000a")


def message(kind: str = Kind.RUN_FAILED, **data: object) -> Message:
    return Message(ID, kind, {"export_name": "Orders", "interval": "hour", **DATA, **data}, utc(2026, 6, 1))


def test_a_failure_is_named_as_people_know_it() -> None:
    assert message().subject == "Batch Exports: Orders batch export run failure"
    assert message().text == (
        "A run of this batch export failed.\n\n"
        "Export: Orders\n"
        "Run id: 0190a5a8-0000-7000-8000-000000000001\n"
        "Interval: hour\n"
        "From: 2026-06-01T11:00:00Z\n"
        "To: 2026-06-01T12:00:00Z\n"
        "Status: Failed\n"
        "Error: Misconfigured: Bucket 'b' does not exist\n\n"
        "Mend what the error names, then retry the run. At most one of these messages is sent per export and day: look "
        "at the list of runs for others that failed.\n"
    )


@pytest.mark.parametrize("kind", [*Kind])
def test_every_kind_says_what_happened_and_what_to_do(kind: Kind) -> None:
    assert message(kind).subject.startswith("Batch Exports: Orders batch export ")
    opening, facts, advice = message(kind).text.split("\n\n")
    assert opening
    assert "Export: Orders" in facts
    assert advice


@pytest.mark.parametrize(
    "name", ["Orders\r\nBcc: eve@example.com", "Orders\x00", "\u2028Orders", "Orders\u202e", "a\tb"]
)
def test_a_name_never_breaks_the_line(name: str) -> None:
    subject = message(export_name=name).subject
    assert subject.isprintable()
    assert single_line("Bestellungen, täglich 📦") == "Bestellungen, täglich 📦"


def test_the_body_of_a_webhook_is_the_same_at_every_attempt() -> None:
    body = message(error="naïve").body
    assert body == message(error="naïve").body
    document = json.loads(body)
    assert (document["type"], document["timestamp"]) == ("batch_export.run_failed", "2026-06-01T00:00:00Z")
    assert document["data"]["error"] == "naïve"
    assert message().webhook_id == f"msg_{ID.hex}"
