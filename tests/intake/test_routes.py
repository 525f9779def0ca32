"""What SDKs send, and what they are answered."""

import base64
import gzip
import json
import zlib
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import httpx
import pytest

from tests.conftest import Clock
from tests.http.callers import Tenant, error, refused
from tests.intake.sending import Connection, batch, event, send, stored

PATHS = ["/batch/", "/batch", "/capture/", "/capture", "/e/", "/e"]
NEWER = ["/i/v0/e/", "/i/v0/e", "/i/v0/ai/batch/", "/i/v0/ai/batch"]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("path", PATHS + NEWER)
async def test_every_path_takes_single_events_lists_and_batches(
    sender: httpx.AsyncClient, store: Connection, tenant: Tenant, token: str, path: str
) -> None:
    expected = {"status": "Ok"} if path in NEWER else {"status": 1}
    bodies: list[Any] = [
        event("alone", api_key=token),
        [event("listed", properties={"token": token}), event("listed too", properties={"token": token})],
        batch(token, event("in a batch")),
    ]
    for body in bodies:
        answer = await sender.post(path, json=body)
        assert refused(answer) == (200, expected)
    assert await stored(store) == ["alone", "in a batch", "listed", "listed too"]
    assert set(await stored(store, "team_id")) == {tenant.project_id}


def plain(text: bytes) -> tuple[bytes, dict[str, str], str]:
    return text, {"Content-Type": "text/plain"}, ""


PACKED = {
    "text": plain,
    "gzip in a header": lambda text: (gzip.compress(text), {"Content-Encoding": "gzip"}, ""),
    "gzip in the query": lambda text: (gzip.compress(text), {"Content-Type": "text/plain"}, "?compression=gzip-js"),
    "gzip unannounced": lambda text: (gzip.compress(text), {}, ""),
    "deflate": lambda text: (zlib.compress(text), {"Content-Encoding": "deflate"}, ""),
    "base64": lambda text: (base64.b64encode(text), {}, "?compression=base64"),
    "base64 for addresses, unpadded": lambda text: (base64.urlsafe_b64encode(text).rstrip(b"="), {}, ""),
    "form": lambda text: (urlencode({"data": text}).encode(), FORM, ""),
    "form of base64": lambda text: (
        urlencode({"data": base64.b64encode(text), "compression": "base64"}).encode(),
        FORM,
        "?compression=base64",
    ),
    "form of base64 with its pluses": lambda text: (b"data=" + base64.b64encode(text), FORM, ""),
    "form of gzip": lambda text: (urlencode({"data": base64.b64encode(gzip.compress(text))}).encode(), FORM, ""),
}


@pytest.mark.parametrize("packed", PACKED.values(), ids=PACKED)
async def test_however_it_is_packed_the_same_event_comes_out(
    sender: httpx.AsyncClient, store: Connection, token: str, packed: Any
) -> None:
    # Bytes that base64 spells with plus and slash, and a number that no float holds.
    properties = '{"n":1.00000000000000000001e400,"t":">>>???~~~Łódź 東京"}'
    text = json.dumps(event("packed", api_key=token, properties=0)).replace(
        '"properties": 0', f'"properties":{properties}'
    )
    body, headers, query = packed(text.encode())
    answer = await sender.post(f"/e/{query}", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert await stored(store, "properties") == [properties]


async def test_a_token_may_be_in_the_query(sender: httpx.AsyncClient, store: Connection, token: str) -> None:
    assert (await sender.post(f"/e/?token={token}", json=event("a"))).status_code == 200
    assert (await sender.post(f"/e/?api_key={token}", json=[event("b")])).status_code == 200
    assert await stored(store) == ["a", "b"]


@pytest.mark.parametrize("place", ["api_key", "token", "$token", "properties"])
async def test_a_token_may_be_in_several_places(
    sender: httpx.AsyncClient, store: Connection, token: str, place: str
) -> None:
    named = {"properties": {"token": token}} if place == "properties" else {place: token}
    assert (await sender.post("/capture/", json=event(**named))).status_code == 200
    assert await stored(store) == ["e"]


NESTED = gzip.compress(gzip.compress(gzip.compress(gzip.compress(gzip.compress(b"{}")))))
NO_TOKEN = error(
    "authentication_error", "missing_token", "The request names no project: send the project's token as api_key."
)
UNKNOWN = error(
    "authentication_error",
    "invalid_token",
    "There is no project with this token: `batch-exports projects list` shows the tokens.",
)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (None, NO_TOKEN),
        ("", NO_TOKEN),
        (7, NO_TOKEN),
        ("phc_none", UNKNOWN),
        ("\u0000", NO_TOKEN),
        ("é" * 300, UNKNOWN),
    ],
)
async def test_without_a_projects_token_nothing_is_taken(
    sender: httpx.AsyncClient, store: Connection, token: Any, expected: dict[str, Any]
) -> None:
    for body in (batch(token, event()), event(api_key=token), [event(properties={"token": token})]):
        assert refused(await sender.post("/batch/", json=body)) == (401, expected)
    assert await stored(store) == []


@pytest.mark.parametrize(
    ("body", "headers", "detail"),
    [
        (b"", {}, "The body is no JSON"),
        (b"{", {}, "JSON parse error"),
        (b'{"batch":[', {}, "JSON parse error"),
        (b'{"batch":[{"a":NaN}]}', {}, "JSON parse error"),
        (b'{"batch":{"event":"e"}}', {}, "'batch' is no list"),
        (b"7", {}, "The body is no JSON"),
        (b"\xff\xfe", {}, "The body is no JSON"),
        (b"data=", FORM, "The body is no JSON"),
        (b"other=1&data=%zz", FORM, "The body is no JSON"),
        (gzip.compress(b"{}" * 500)[:-9], {"Content-Encoding": "gzip"}, "ends in the middle"),
        (b"\x1f\x8bnonsense", {}, "cannot be decompressed"),
        (b"{}", {"Content-Encoding": "br"}, "Content-Encoding 'br'"),
        (b"nonsense", {"Content-Encoding": "deflate"}, "cannot be decompressed"),
        (b"[" * 100_000, {}, "JSON parse error"),
        (NESTED, {}, "The body is no JSON"),
    ],
    ids=map(str, range(15)),  # what is compressed has the time in it, and every process its own
)
async def test_what_cannot_be_read_is_refused_for_good(
    sender: httpx.AsyncClient, body: bytes, headers: dict[str, str], detail: str
) -> None:
    answer = await sender.post("/batch/", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "parse_error")
    assert detail in answer.json()["detail"]


async def test_an_empty_batch_is_no_mistake(sender: httpx.AsyncClient, store: Connection, token: str) -> None:
    await send(sender, token)
    assert await stored(store) == []


async def test_the_clients_clock_is_put_right(
    sender: httpx.AsyncClient, store: Connection, token: str, clock: Clock
) -> None:
    # Its clock is an hour and a second late.
    sent = {"sent_at": "2026-06-01T10:59:59Z"}
    await send(sender, token, event("a", timestamp="2026-06-01T10:00:00Z"), **sent)
    left = event("b", timestamp="2026-06-01T10:00:00Z", properties={"$ignore_sent_at": True})
    await send(sender, token, left, event("c", offset=5000), event("d"), **sent)
    answer = await sender.post(f"/e/?token={token}&_=1780311599000", json=event("e", timestamp="2026-06-01T10:00:00Z"))
    assert answer.status_code == 200
    assert [moment.strftime("%H:%M:%S") for moment in await stored(store, "timestamp")] == [
        *("11:00:01", "10:00:00", "11:59:55", "12:00:00", "11:00:01"),
    ]


async def test_a_uuid_that_comes_again_is_stored_once(sender: httpx.AsyncClient, store: Connection, token: str) -> None:
    one = event("first")
    await send(sender, token, one, {**one, "event": "second"})
    await send(sender, token, {**one, "event": "third"}, event("other"))
    found = await stored(store, "uuid, event")
    assert (UUID(one["uuid"]), "first") in found
    assert [name for _, name in found] == ["first", "other"]


async def test_nothing_starts_loudly(sender: httpx.AsyncClient) -> None:
    for path in ("/flags/", "/flags", "/decide/", "/decide"):
        for version, flags in (("1", []), ("2", {}), ("3", {})):
            answer = await sender.post(f"{path}?v={version}&config=true", json={"token": "phc_any", "distinct_id": "d"})
            assert answer.status_code == 200
            assert answer.json()["featureFlags"] == flags
            assert answer.json()["sessionRecording"] is False
        newest = await sender.post(f"{path}?v=4", content=b"anything")
        assert newest.json() == {"errorsWhileComputingFlags": False, "flags": {}}
    config = await sender.get("/array/phc_any/config")
    assert (config.json()["token"], config.json()["analytics"]) == ("phc_any", {"endpoint": "/i/v0/e/"})
    script = await sender.get("/array/phc_any/config.js")
    assert script.headers["Content-Type"].startswith("text/javascript")
    assert 'window._POSTHOG_REMOTE_CONFIG["phc_any"] = {config: {"token": "phc_any"' in script.text
    assert (await sender.get('/array/"onload=/config.js')).status_code == 400


@pytest.mark.parametrize("path", ["/e/", "/i/v0/e/", "/flags/", "/array/phc_any/config"])
async def test_pages_of_other_sites_may_send_and_read_the_answer(sender: httpx.AsyncClient, path: str) -> None:
    origin = {"Origin": "https://shop.example.com"}
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-thing"}
    preflight = await sender.options(path, headers={**origin, **asked})
    answer = await (sender.get(path, headers=origin) if "array" in path else sender.post(path, json={}, headers=origin))
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Headers"] == "content-type,x-thing"
    for one in (preflight, answer):
        assert one.headers["Access-Control-Allow-Origin"] == "https://shop.example.com"
        assert one.headers["Vary"] == "Origin"


async def test_no_other_route_is_open_to_pages(sender: httpx.AsyncClient, tenant: Tenant) -> None:
    for path in (f"/api/projects/{tenant.project_id}/batch_exports/", "/health/live", "/batch_exports/"):
        answer = await sender.get(path, headers={"Origin": "https://shop.example.com"})
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_wrong_method_is_named(sender: httpx.AsyncClient) -> None:
    answer = await sender.get("/batch/")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
