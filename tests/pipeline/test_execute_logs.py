"""What an attempt writes for the people whose export it is."""

import pytest
from sqlalchemy import text

from app.errors import DataError, Transient
from app.runtime import Runtime
from tests.pipeline.attempts import cancelled_meanwhile, claimed, deliver_with, failing_with, told

RANGE = "2026-01-01T00:00:00Z to 2026-01-01T01:00:00Z"


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (3, f"Done: 3 records exported for {RANGE}"),
        (1, f"Done: 1 record exported for {RANGE}"),
        (0, f"Done early: there is no data to export for {RANGE}"),
    ],
)
async def test_the_log_tells_of_a_run_that_is_done(runtime: Runtime, events: int, message: str) -> None:
    executor, claim = await claimed(runtime, events)
    assert await told(executor, claim) == [("INFO", f"Exporting {RANGE}"), ("INFO", message)]


async def test_the_log_tells_why_a_run_failed(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    executor, claim = await claimed(runtime)
    deliver_with(monkeypatch, failing_with(DataError("no such column")))
    [_, failure] = await told(executor, claim)
    assert failure == (
        "ERROR",
        f"Failed for {RANGE} with an error that another attempt would not mend. DataError: no such column",
    )


async def test_the_log_tells_that_an_attempt_will_be_repeated_and_when_it_will_not(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.5)
    executor, claim = await claimed(runtime)
    deliver_with(monkeypatch, failing_with(Transient("reset")))
    [_, failure] = await told(executor, claim)
    assert failure == (
        "WARNING",
        f"Attempt 1 for {RANGE} failed and will be repeated in 300 s. Transient: reset",
    )
    async with runtime.sessions.begin() as session:
        await session.execute(text("UPDATE runs SET not_before = now(), attempt = 9, retry_until = now()"))
    again = await executor.claim()
    assert again is not None
    assert await told(executor, again) == [
        ("INFO", f"Exporting {RANGE} (attempt 10)"),
        ("ERROR", f"Failed for {RANGE} after 10 attempts. Transient: reset"),
    ]


async def test_the_log_holds_no_text_of_an_unexpected_error(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    executor, claim = await claimed(runtime)
    deliver_with(monkeypatch, failing_with(KeyError("sesame")))
    assert "sesame" not in str(await told(executor, claim))


async def test_the_log_says_nothing_of_an_outcome_that_was_not_recorded(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, claim = await claimed(runtime)
    deliver_with(monkeypatch, cancelled_meanwhile)
    assert await told(executor, claim) == [("INFO", f"Exporting {RANGE}")]
