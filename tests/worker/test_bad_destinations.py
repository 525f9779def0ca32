"""Destinations that cannot take anything: each run says what is wrong, and nothing gives a secret away."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.destinations.s3 import client
from app.embedded import Stack
from app.embedded.state import free_port
from app.models import RunStatus
from app.pipeline.execute import Executor
from app.runtime import Runtime
from tests.worker.processes import Workers, add_run, ended, read_run

SECRET = "sesame-open-0123456789"

Expected = Mapping[UUID, tuple[RunStatus, str, str]]
"""How runs end: status, class of the error, and words in it."""


async def assert_ended(runtime: Runtime, workers: Workers, stack: Stack, expected: Expected) -> None:
    texts = []
    async with workers.start(worker_slots="4", retry_max_attempts="1") as worker:
        for run_id, (status, error_class, words) in expected.items():
            run = await ended(runtime, run_id)
            assert run.latest_error is not None
            assert (run.status, run.error_class) == (status, error_class), run.latest_error
            assert words in run.latest_error
            texts.append(run.latest_error)
    assert worker.log.count("run failed") == len(expected)
    for secret in (SECRET, stack.s3["aws_secret_access_key"], stack.s3["aws_access_key_id"]):
        assert not [text for text in (*texts, worker.log) if secret in text]


async def test_a_run_that_cannot_be_delivered_says_why_and_no_secret(
    runtime: Runtime, workers: Workers, stack: Stack
) -> None:
    usual: dict[str, Any] = {**stack.s3, "prefix": "bad/"}
    wrong_key = {"aws_access_key_id": SECRET, "aws_secret_access_key": SECRET}
    unknown_type = await add_run(runtime, "Abacus", {"password": SECRET})
    unknown_bucket = await add_run(runtime, "S3", {**usual, "bucket_name": "no-such-bucket"})
    unknown_key = await add_run(runtime, "S3", {**usual, **wrong_key})
    lost_key = await add_run(runtime, "S3", usual)
    async with runtime.sessions.begin() as session:
        unseal = (
            "UPDATE exports SET destination_config = 'rubbish' WHERE id = (SELECT export_id FROM runs WHERE id = :id)"
        )
        await session.execute(text(unseal), {"id": lost_key})
    expected = {
        unknown_type: (RunStatus.FAILED, "unsupported", "cannot deliver to Abacus"),
        unknown_bucket: (RunStatus.FAILED, "configuration", "bucket 'no-such-bucket'"),
        unknown_key: (RunStatus.FAILED, "configuration", "bucket 'exports'"),
        lost_key: (RunStatus.FAILED, "configuration", "cannot be decrypted"),
    }
    await assert_ended(runtime, workers, stack, expected)


async def test_a_run_that_finds_nobody_at_the_endpoint_may_be_tried_again(
    runtime: Runtime, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In this process, where the S3 client can be kept from its own tries, which take half a minute.
    monkeypatch.setattr(client, "MAX_RETRIES", 0)
    nowhere = f"http://127.0.0.1:{free_port()}"
    config = {**stack.s3, "prefix": "bad/", "endpoint_url": nowhere, "aws_secret_access_key": SECRET}
    run_id = await add_run(runtime, "S3", config)
    settings = runtime.settings.model_copy(update={"retry_max_attempts": 1})
    executor = Executor(replace(runtime, settings=settings), "worker-1")
    claim = await executor.claim()
    assert claim is not None
    await executor.execute(claim)
    run = await read_run(runtime, run_id)
    assert (run.status, run.error_class) == (RunStatus.FAILED_RETRYABLE, "transient")
    assert run.latest_error is not None
    assert f"bucket 'exports' at {nowhere} cannot be reached" in run.latest_error
    assert SECRET not in run.latest_error
