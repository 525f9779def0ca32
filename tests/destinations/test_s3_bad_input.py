"""Settings that cannot work: each a run error of the right class that names bucket and cause, and holds no secret."""

from typing import Any

import pytest

from app.destinations.objects import upload
from app.destinations.s3.errors import as_run_error, where
from app.embedded import Stack
from app.embedded.state import LOOPBACK, free_port
from app.errors import Misconfigured, RunError, Transient
from tests.destinations.harness import S3Harness, make_target
from tests.destinations.rows import make_tape
from tests.destinations.s3_proxy import Reply, Request, S3Proxy, Verdict, error

pytestmark = pytest.mark.usefixtures("no_backoff")

SECRET = "sesame0123456789"


async def failure(s3: S3Harness, **config: Any) -> RunError:
    """How a write with these settings fails."""
    tape = make_tape()

    async def write() -> None:
        destination = s3.make(aws_secret_access_key=SECRET, **config)
        await destination.write(tape.play(), make_target(destination))

    with pytest.raises(RunError) as raised:
        await write()
    assert not tape.open
    assert SECRET not in str(raised.value)
    assert "Signature" not in str(raised.value).replace("SignatureDoesNotMatch", "")
    assert "hush" not in str(raised.value)
    return raised.value


def answer(proxy: S3Proxy, reply: Verdict) -> None:
    async def judge(_: Request) -> Verdict:
        return reply

    proxy.judge = judge


async def test_an_unknown_bucket(s3: S3Harness) -> None:
    error = await failure(s3, bucket_name="no-such-bucket")
    assert isinstance(error, Misconfigured)
    assert "bucket 'no-such-bucket'" in str(error)
    assert "does not exist" in str(error)


async def test_a_wrong_access_key(s3: S3Harness) -> None:
    error = await failure(s3, aws_access_key_id=SECRET)
    assert isinstance(error, Misconfigured)
    assert "bucket 'exports'" in str(error)
    assert "does not know the access key" in str(error)


async def test_a_wrong_secret(s3: S3Harness, proxy: S3Proxy) -> None:
    answer(proxy, error(403, "SignatureDoesNotMatch"))
    failed = await failure(s3, endpoint_url=proxy.url)
    assert isinstance(failed, Misconfigured)
    assert "did not accept the secret access key" in str(failed)


async def test_an_endpoint_where_nothing_listens(s3: S3Harness) -> None:
    endpoint = f"http://{LOOPBACK}:{free_port()}"
    error = await failure(s3, endpoint_url=endpoint)
    assert isinstance(error, Transient)
    assert f"bucket 'exports' at {endpoint} cannot be reached" in str(error)


async def test_a_refusal_is_taken_at_its_word(s3: S3Harness, proxy: S3Proxy) -> None:
    answer(proxy, error(403, "AccessDenied"))
    await failure(s3, endpoint_url=proxy.url)
    assert proxy.operations == ["PutObject"]


async def test_https_where_plain_http_is_spoken(s3: S3Harness, stack: Stack) -> None:
    error = await failure(s3, endpoint_url=stack.s3["endpoint_url"].replace("http:", "https:"))
    assert isinstance(error, Transient)
    assert "secure connection" in str(error)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<html><body>Welcome</body></html>", Misconfigured),
        ("", Misconfigured),
        # Might be a good answer that was cut off.
        ("<html><body>Welcome<br></body></html>", Transient),
        ("It works!", Transient),
    ],
)
@pytest.mark.parametrize("part_bytes", [10**6, 1000], ids=["put", "parts"])
async def test_an_endpoint_that_is_no_s3_store(
    s3: S3Harness,
    proxy: S3Proxy,
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    expected: type[RunError],
    part_bytes: int,
) -> None:
    monkeypatch.setattr(upload, "PART_BYTES", part_bytes)
    answer(proxy, Reply(200, page))
    error = await failure(s3, endpoint_url=proxy.url)
    assert isinstance(error, expected)
    assert "does not answer as an S3 store does" in str(error)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 411])
async def test_a_web_server_that_refuses(s3: S3Harness, proxy: S3Proxy, status: int) -> None:
    answer(proxy, Reply(status, "<html><body>No<br></body></html>"))
    assert isinstance(await failure(s3, endpoint_url=proxy.url), Misconfigured)


@pytest.mark.parametrize(
    "reply",
    [
        error(400, "AuthorizationHeaderMalformed"),
        Reply(301, "<Error><Code>PermanentRedirect</Code></Error>", headers=("x-amz-bucket-region: eu-west-1",)),
        Reply(301, headers=("x-amz-bucket-region: eu-west-1",)),
    ],
)
async def test_a_wrong_region(s3: S3Harness, proxy: S3Proxy, reply: Reply) -> None:
    answer(proxy, reply)
    failed = await failure(s3, endpoint_url=proxy.url, region="us-west-2")
    assert isinstance(failed, Misconfigured)
    assert "is in another region" in str(failed)


@pytest.mark.parametrize(
    "config",
    [
        {"bucket_name": "no/such name"},
        {"region": "not a region"},
        {"endpoint_url": "http://no host"},
        {"endpoint_url": "nonsense"},
        {"prefix": "\ud800"},
    ],
    ids=str,
)
async def test_settings_with_which_no_request_can_be_made(s3: S3Harness, config: dict[str, Any]) -> None:
    assert isinstance(await failure(s3, **config), Misconfigured)


async def test_a_prefix_too_long_for_a_key(s3: S3Harness, proxy: S3Proxy) -> None:
    answer(proxy, error(400, "KeyTooLongError"))
    failed = await failure(s3, endpoint_url=proxy.url, prefix="long/" * 300)
    assert isinstance(failed, Misconfigured)
    assert "does not take keys as long as this prefix makes them" in str(failed)


async def test_what_an_endpoint_may_hide_is_not_told(s3: S3Harness) -> None:
    port = free_port()
    error = await failure(s3, endpoint_url=f"http://user:{SECRET}@{LOOPBACK}:{port}/{SECRET}?token={SECRET}")
    assert f"at http://{LOOPBACK}:{port}" in str(error)


async def test_a_code_that_is_no_word_is_not_told(s3: S3Harness, proxy: S3Proxy) -> None:
    answer(proxy, error(400, "hush, http://signed?X-Amz-Signature=hush"))
    assert isinstance(await failure(s3, endpoint_url=proxy.url), Misconfigured)


def test_a_redirection_to_nowhere_in_particular() -> None:
    error = as_run_error(RecursionError(), where("b", None))
    assert isinstance(error, Misconfigured)


def test_an_error_that_nobody_foresaw_keeps_its_traceback() -> None:
    bug = ZeroDivisionError()
    assert as_run_error(bug, where("b", None)) is bug
