"""Settings that cannot work, and a container that stops working while it is written to.

What Azurite cannot do (a wrong clock, a busy server, a disabled account) a proxy in between answers, with the codes
that the service documents.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from azure.core.exceptions import AzureError
from azure.storage.blob import AccessPolicy, ContainerSasPermissions, generate_container_sas

from app.destinations.azure_blob.errors import as_run_error
from app.destinations.objects import upload
from app.embedded.state import LOOPBACK, free_port
from app.errors import Misconfigured, RunError, Throttled, Transient
from app.network import Network
from tests.destinations.azure.azurite import ACCOUNT
from tests.destinations.azure.harness import AzureHarness
from tests.destinations.azure.proxy import AzureProxy, always, error
from tests.destinations.harness import make_target
from tests.destinations.rows import Tape, make_tape, read_file
from tests.destinations.s3_proxy import Reply

pytestmark = pytest.mark.usefixtures("no_backoff")

PERMISSIONS = ContainerSasPermissions.from_string("racwdl")


async def failure(azure: AzureHarness, tape: Tape | None = None, **config: Any) -> RunError:
    """How a write with these settings fails."""
    tape = tape or make_tape()

    async def write() -> None:
        destination = azure.make(**config)
        await destination.write(tape.play(), make_target(destination))

    with pytest.raises(RunError) as raised:
        await write()
    assert not tape.open
    for secret in (azure.azurite.key, "sig=", "hush"):
        assert secret not in str(raised.value)
    return raised.value


async def test_an_unknown_container(azure: AzureHarness) -> None:
    failed = await failure(azure, container_name="no-such-container")
    assert isinstance(failed, Misconfigured)
    assert f"container 'no-such-container' at {azure.azurite.endpoint} does not exist (ContainerNotFound)" in str(
        failed
    )


async def test_a_wrong_key(azure: AzureHarness) -> None:
    wrong = azure.azurite.connection_string().replace(azure.azurite.key, "c2VzYW1lMDEyMzQ1Njc4OQ==")
    failed = await failure(azure, connection_string=wrong)
    assert isinstance(failed, Misconfigured)
    assert "check that the account key is the current one" in str(failed)


async def test_a_signature_that_has_expired_says_when(azure: AzureHarness) -> None:
    token = generate_container_sas(
        ACCOUNT, "events", azure.azurite.key, permission=PERMISSIONS, expiry=datetime(2024, 1, 1, tzinfo=UTC)
    )
    failed = await failure(azure, connection_string=azure.azurite.connection_string(sas=token))
    assert isinstance(failed, Misconfigured)
    assert "that the SAS has neither expired nor been revoked" in str(failed)
    assert "the SAS is valid until 2024-01-01T00:00:00Z" in str(failed)


async def test_an_endpoint_where_nothing_listens(azure: AzureHarness) -> None:
    endpoint = f"http://{LOOPBACK}:{free_port()}/{ACCOUNT}"
    failed = await failure(azure, connection_string=azure.azurite.connection_string(endpoint))
    assert isinstance(failed, Transient)
    assert f"container 'events' at {endpoint} cannot be reached" in str(failed)


@pytest.mark.parametrize(
    ("reply", "expected", "words"),
    [
        (error(403, "AuthenticationFailed"), Misconfigured, "neither expired nor been revoked, and that the clock"),
        (
            error(403, "AuthenticationFailed", "Request date header too old: 'Mon, 01 Jan 2024 hush'"),
            Misconfigured,
            "did not accept the credentials because the clock of this machine is wrong",
        ),
        (
            error(403, "AuthenticationFailed", "Signature not valid in the specified time frame: Start [hush]"),
            Misconfigured,
            "did not accept the credentials because the SAS has expired, or is not valid yet",
        ),
        (error(403, "AccountIsDisabled"), Misconfigured, "belongs to a storage account that is disabled"),
        (error(403, "AuthorizationFailure"), Misconfigured, "the account's network rules"),
        (error(403, "AuthorizationProtocolMismatch"), Misconfigured, "the SAS is for HTTPS only"),
        (error(403, "UnauthorizedBlobOverwrite"), Misconfigured, "has the permission Create, and not Write"),
        (error(409, "BlobImmutableDueToPolicy"), Misconfigured, "it has an immutability policy"),
        (error(409, "InvalidBlobType"), Misconfigured, "holds an append or page blob"),
        (error(409, "ContainerBeingDeleted"), Transient, "is being deleted; once that is done, create it again"),
        (error(412, "LeaseIdMissing"), Transient, "somebody else holds a lease"),
        (error(503, "ServerBusy"), Throttled, "asks to slow down (ServerBusy)"),
        (error(429, "TooManyRequests"), Throttled, "asks to slow down"),
        (error(500, "OperationTimedOut"), Transient, "failed to answer (OperationTimedOut, HTTP 500)"),
        (error(413, "RequestBodyTooLarge"), Misconfigured, "refused the request (RequestBodyTooLarge, HTTP 413)"),
        (error(400, "hush, a sentence"), Misconfigured, "does not answer as Azure Blob Storage does (HTTP 400)"),
        (Reply(200, "<html><body>Welcome</body></html>"), Misconfigured, "does not answer as Azure Blob Storage does"),
        (Reply(201), Misconfigured, "does not answer as Azure Blob Storage does; check the endpoint"),
        (Reply(404, "<html>hush<br></html>"), Misconfigured, "does not answer as Azure Blob Storage does (HTTP 404)"),
        (Reply(502, "hush"), Transient, "does not answer as Azure Blob Storage does (HTTP 502)"),
        (
            Reply(307, headers=("Location: http://internal.example.com/",)),
            Misconfigured,
            "does not answer as Azure Blob Storage does (HTTP 307)",
        ),
    ],
    ids=str,
)
async def test_every_answer_is_worded(
    through: AzureHarness, proxy: AzureProxy, reply: Reply, expected: type[RunError], words: str
) -> None:
    proxy.judge = always(reply)
    failed = await failure(through)
    assert type(failed) is expected
    assert f"container 'events' at {proxy.endpoint}" in str(failed)
    assert words in str(failed)
    # A redirection is not followed, and what is refused is not asked for again.
    assert proxy.operations.count("Put Blob") == (4 if reply.status >= 500 else 1)
    assert await through.visible() == {}


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:9/a", "http://[::ffff:127.0.0.1]:9/a", "http://inside.example.com/a"]
)
async def test_an_address_that_is_not_allowed(azure: AzureHarness, names: dict[str, Any], endpoint: str) -> None:
    """Judged for every connection anew, whatever the name led to when the export was saved."""
    names["inside.example.com"] = ("127.0.0.1",)
    string = azure.azurite.connection_string(endpoint)
    failed = await failure(azure, connection_string=string, network=Network())
    assert isinstance(failed, Misconfigured)
    assert "is at an address that this service may not connect to" in str(failed)


async def test_a_name_that_leads_where_it_may(azure: AzureHarness) -> None:
    by_name = azure.azurite.endpoint.replace(LOOPBACK, "localhost")
    destination = azure.make(
        connection_string=azure.azurite.connection_string(by_name), network=Network(hosts=frozenset({"localhost"}))
    )
    assert (await destination.write(make_tape().play(), make_target(destination))).rows > 0


async def test_a_prefix_that_is_no_text(azure: AzureHarness) -> None:
    assert isinstance(await failure(azure, prefix="\ud800"), Misconfigured)


async def test_a_proxy_of_the_environment_is_not_asked(azure: AzureHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{LOOPBACK}:{free_port()}")
    destination = azure.make()
    assert (await destination.write(make_tape().play(), make_target(destination))).rows > 0


async def test_a_container_that_goes_away_comes_back_and_is_filled(
    azure: AzureHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PART_BYTES", 6000)
    name = f"c-{uuid4().hex}"
    async with azure.azurite.container(name) as container:
        await container.create_container()

        async def remove(number: int) -> None:
            if number == 2:
                await container.delete_container()

        destination = azure.make(container_name=name)
        tape = make_tape()
        with pytest.raises(Misconfigured, match="does not exist"):
            await destination.write(tape.play(before=remove), make_target(destination))
        assert not tape.open
        await container.create_container()
        assert [name async for name in container.list_blob_names()] == []
        written = await destination.write(make_tape().play(), make_target(destination, epoch=2))
        assert [name async for name in container.list_blob_names()] == [file.key for file in written.files]
        await container.delete_container()


async def test_a_signature_that_is_revoked_meanwhile_leaves_nothing_and_a_new_one_goes_on(
    azure: AzureHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Revoked as its owner would: the policy that it stands on is taken away."""
    monkeypatch.setattr(upload, "PART_BYTES", 6000)
    name = f"c-{uuid4().hex}"
    async with azure.azurite.container(name) as container:
        await container.create_container()
        until = datetime.now(UTC) + timedelta(hours=1)
        await container.set_container_access_policy(
            {"exports": AccessPolicy(PERMISSIONS, until, until - timedelta(days=1))}
        )
        token = generate_container_sas(ACCOUNT, name, azure.azurite.key, policy_id="exports")
        string = azure.azurite.connection_string(sas=token)

        async def revoke(number: int) -> None:
            if number == 2:
                await container.set_container_access_policy({})

        tape = make_tape()
        destination = azure.make(container_name=name, connection_string=string)
        with pytest.raises(Misconfigured) as raised:
            await destination.write(tape.play(before=revoke), make_target(destination))
        assert "sig=" not in str(raised.value)
        assert [name async for name in container.list_blob_names()] == []
        mended = azure.make(container_name=name)
        again = make_tape()
        [file] = (await mended.write(again.play(), make_target(mended, epoch=2))).files
        data = await (await container.download_blob(file.key)).readall()
        assert read_file(data, "JSONLines", None) == again.rows
        await container.delete_container()


async def test_a_busy_service_is_waited_for_and_then_written_to(through: AzureHarness, proxy: AzureProxy) -> None:
    proxy.judge = always(error(503, "ServerBusy"))
    assert isinstance(await failure(through, max_file_size_mb=1), Throttled)
    assert await through.visible() == {}
    proxy.judge = always(None)
    destination = through.make()
    assert (await destination.write(make_tape().play(), make_target(destination, epoch=2, gently=True))).rows > 0


def test_errors_of_the_client_itself_are_told_by_their_class_alone() -> None:
    told = as_run_error(AzureError("hush"), "container 'c'")
    assert isinstance(told, Misconfigured)
    assert "hush" not in str(told)
    bug = ZeroDivisionError()
    assert as_run_error(bug, "container 'c'") is bug
