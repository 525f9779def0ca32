"""What an interval without rows costs: of thousands of exports most have nothing to say most of the time."""

from datetime import timedelta
from uuid import uuid4

import pytest

from app.embedded import Stack
from app.models import RunStatus
from app.pipeline.execute import Executor
from app.runs.claims import ClaimRepository
from app.runs.repository import RunRepository
from app.runtime import Runtime
from app.sources.postgres.reading import Reading
from tests.destinations.s3_proxy import open_proxy
from tests.factories import make_export, make_integration
from tests.http.statements import counting
from tests.pipeline.attempts import WINDOW


async def test_an_empty_interval_costs_five_statements_and_one_request(
    runtime: Runtime, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    start = Reading.start

    async def note(self: Reading, sql: str) -> None:
        asked.append(sql)
        await start(self, sql)

    monkeypatch.setattr(Reading, "start", note)
    keys = ("aws_access_key_id", "aws_secret_access_key")
    async with open_proxy(stack.s3["endpoint_url"]) as proxy:
        async with runtime.sessions.begin() as session:
            export = await make_export(
                session,
                runtime.cipher,
                destination_type="S3Compatible",
                config={
                    "bucket_name": stack.s3["bucket_name"],
                    "region": stack.s3["region"],
                    "prefix": uuid4().hex,
                },
            )
            integration = await make_integration(
                session,
                runtime.cipher,
                export.project_id,
                config={"name": "n", "endpoint_url": proxy.url},
                sensitive_config={key: stack.s3[key] for key in keys},
            )
            export.integration_id = integration.id
            [run_id] = await ClaimRepository(session).add(export, [WINDOW], timedelta(0))
        executor = Executor(runtime, "test")
        with counting(runtime) as statements:
            claim = await executor.claim()
            assert claim is not None
            await executor.execute(claim)
    async with runtime.sessions() as session:
        run = await RunRepository(session).get([export.project_id], export.id, run_id)
    assert run is not None
    assert (run.status, run.records_completed) == (RunStatus.COMPLETED, 0)
    # The claim, which brings all that is stored of the export along; the announcement, which also asks what others have
    # left; and the record. Of the event store: whether late rows may still come, and the rows.
    assert (len(statements), len(asked)) == (3, 2), "\n".join([*statements, *asked])
    assert proxy.operations == ["ListObjectsV2"]
