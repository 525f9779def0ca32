"""Where a run may connect to: judged anew for every connection, whatever a name led to when the export was saved."""

from dataclasses import replace
from typing import Any

import pytest

from app.destinations import DESTINATIONS, build
from app.embedded import Stack
from app.errors import Misconfigured, RunError, Transient, Unsupported
from app.network import Network
from tests.destinations.harness import NETWORK, S3Harness, make_target
from tests.destinations.rows import make_tape
from tests.destinations.s3_proxy import Reply, Request, S3Proxy, Verdict

pytestmark = pytest.mark.usefixtures("no_backoff")


async def failure(stack: Stack, network: Network, endpoint: str, kind: str = "S3") -> RunError:
    encryption = {} if kind == "S3Compatible" else {"encryption": None}
    destination = build(kind, {**stack.s3, "prefix": "p", "endpoint_url": endpoint, **encryption}, network)
    tape = make_tape()
    with pytest.raises(RunError) as raised:
        await destination.write(tape.play(), make_target(destination))
    assert not tape.open
    return raised.value


@pytest.mark.parametrize("kind", ["S3", "S3Compatible"])
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
async def test_an_address_that_is_not_allowed(stack: Stack, kind: str, host: str) -> None:
    error = await failure(stack, Network(), f"http://{host}:9", kind)
    assert isinstance(error, Misconfigured)
    assert "is at an address that this service may not connect to" in str(error)


async def test_a_name_that_leads_inside_by_now(stack: Stack, names: dict[str, tuple[str, ...]]) -> None:
    names["store.example.com"] = ("127.0.0.1",)
    port = stack.s3["endpoint_url"].rpartition(":")[2]
    error = await failure(stack, Network(), f"http://store.example.com:{port}")
    assert isinstance(error, Misconfigured)
    assert "is at an address that this service may not connect to" in str(error)


@pytest.mark.parametrize("target", ["http://127.0.0.2:9/x", "http://internal.example.com/x", "http://[::1]:9/x"])
@pytest.mark.parametrize("status", [302, 307])
async def test_an_endpoint_that_redirects_inside(stack: Stack, proxy: S3Proxy, target: str, status: int) -> None:
    async def redirect(_: Request) -> Verdict:
        return Reply(status, headers=(f"Location: {target}",))

    proxy.judge = redirect
    error = await failure(stack, NETWORK, proxy.url)
    assert isinstance(error, Misconfigured)
    assert "is at an address that this service may not connect to" in str(error)


async def test_a_name_that_leads_nowhere_by_now(stack: Stack) -> None:
    error = await failure(stack, NETWORK, "http://gone.example.com")
    assert isinstance(error, Transient)
    assert "cannot be reached" in str(error)


async def test_a_name_that_leads_where_it_may(s3: S3Harness, stack: Stack) -> None:
    """Allowed by its address, or by itself."""
    port = stack.s3["endpoint_url"].rpartition(":")[2]
    by_name = replace(NETWORK, networks=(), hosts=frozenset({"localhost"}))
    for network in (NETWORK, by_name):
        config: dict[str, Any] = {**stack.s3, "prefix": s3.prefix, "endpoint_url": f"http://localhost:{port}"}
        destination = build("S3", config, network)
        assert (await destination.write(make_tape().play(), make_target(destination))).rows > 0


@pytest.mark.parametrize("name", [name for name, kind in DESTINATIONS.items() if not kind.delivers])
async def test_types_that_cannot_deliver_say_so(name: str) -> None:
    kind = DESTINATIONS[name]
    required = {key: "x" for key, field in kind.config_model.by_key().items() if field.is_required()}
    destination = build(name, required, NETWORK)
    tape = make_tape()
    stream = tape.play()
    with pytest.raises(Unsupported, match=f"this version cannot deliver to {name} yet"):
        await destination.write(stream, make_target(destination))
    assert tape.pulled == 0


def test_credentials_of_the_service_are_never_used(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the service's own")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the service's own")
    place = {"bucket_name": "b", "region": "us-east-1", "prefix": "p"}
    with pytest.raises(Misconfigured, match="no credentials"):
        build("AwsS3", place, NETWORK)
