"""One attempt at a run: stream (no transaction open), beside a heartbeat, then record. Claiming comes before."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.destinations.base import Written
from app.errors import Defect, LeaseLost, RunError
from app.models import RunStatus
from app.pipeline.deliver import deliver
from app.pipeline.lease import Lease
from app.pipeline.retry import RetryPolicy
from app.runs.claims import Claim, ClaimRepository
from app.runtime import Runtime
from app.telemetry import BYTES_EXPORTED, ROWS_EXPORTED, RUN_SECONDS, RUNS_FINISHED

HAND_BACK_LIMIT = 5.0
"""Seconds that giving a run back may take at shutdown; after that its lease simply lapses."""
RECORD_RETRY_WAIT = 0.5
"""Seconds between tries to record an outcome while the database is away."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Executor:
    """Works on claimed runs in the name of one worker process."""

    runtime: Runtime
    owner: str

    async def claim(self) -> Claim | None:
        """The run that has been ready longest, or None."""
        async with self.runtime.sessions.begin() as session:
            return await ClaimRepository(session).claim(self.owner, self.runtime.settings.lease_ttl)

    async def execute(self, claim: Claim) -> None:
        """Make one attempt and record how it went. Raises nothing but cancellation, which hands the run back."""
        with structlog.contextvars.bound_contextvars(
            run_id=str(claim.run_id), export_id=str(claim.export_id), epoch=claim.epoch
        ):
            started = time.monotonic()
            log.info("run started", start=_iso(claim.start), end=_iso(claim.end), attempt=claim.attempt + 1)
            try:
                outcome = await self._lease(claim).hold(lambda: self._attempt(claim))
                await self._record(claim, outcome)
            except LeaseLost:
                log.warning("run stopped: cancelled, or another worker's by now")
            except asyncio.CancelledError:
                await self._hand_back(claim)
                raise
            finally:
                RUN_SECONDS.labels(claim.destination_type).observe(time.monotonic() - started)

    async def _attempt(self, claim: Claim) -> Written | RunError:
        try:
            return await deliver(self.runtime, claim, fence=self._lease(claim).confirm)
        except RunError as error:
            return error
        except LeaseLost:
            raise
        except Exception as error:
            # Its text may hold anything, a secret too: that goes to the operator's log, never to the run's row.
            log.exception("unexpected error in a run")
            return Defect(f"unexpected {type(error).__name__}; the worker's log of this run says more")

    async def _record(self, claim: Claim, outcome: Written | RunError) -> None:
        if isinstance(outcome, Written):
            if await self._write(lambda claims: claims.complete(claim, outcome.rows, outcome.bytes)):
                log.info("run completed", rows=outcome.rows, bytes=outcome.bytes)
                RUNS_FINISHED.labels(RunStatus.COMPLETED, claim.destination_type).inc()
                ROWS_EXPORTED.labels(claim.destination_type).inc(outcome.rows)
                BYTES_EXPORTED.labels(claim.destination_type).inc(outcome.bytes)
            return
        settings = self.runtime.settings
        policy = RetryPolicy(settings.retry_backoff_initial, settings.retry_backoff_max, settings.retry_max_attempts)
        verdict = policy.verdict(outcome, claim.attempt, random.random())  # noqa: S311  spreads load, guards nothing
        if isinstance(verdict, RunStatus):
            if await self._write(lambda claims: claims.fail(claim, verdict, outcome)):
                log.error("run failed", error=str(outcome), status=verdict)
                RUNS_FINISHED.labels(verdict, claim.destination_type).inc()
        elif await self._write(lambda claims: claims.retry_later(claim, outcome, verdict)):
            log.warning("attempt failed, will be tried again", error=str(outcome), wait=verdict.total_seconds())

    async def _write(self, write: Callable[[ClaimRepository], Awaitable[bool]]) -> bool:
        """Record, trying again while the database is away, for as long as the lease may last.

        Repeating is safe: a second write of the same outcome matches no row. False: the run is not ours any more.
        """
        give_up = time.monotonic() + self.runtime.settings.lease_ttl.total_seconds()
        while True:
            try:
                async with self.runtime.sessions.begin() as session:
                    return await write(ClaimRepository(session))
            except (SQLAlchemyError, OSError) as error:
                if time.monotonic() >= give_up:
                    log.error("outcome not recorded; another worker will take the run", reason=type(error).__name__)
                    return False
                await asyncio.sleep(RECORD_RETRY_WAIT)

    async def _hand_back(self, claim: Claim) -> None:
        async def hand_back() -> None:
            async with self.runtime.sessions.begin() as session:
                await ClaimRepository(session).hand_back(claim)

        with suppress(SQLAlchemyError, OSError, TimeoutError):
            await asyncio.wait_for(asyncio.shield(hand_back()), HAND_BACK_LIMIT)
            log.info("run handed back")

    def _lease(self, claim: Claim) -> Lease:
        settings = self.runtime.settings

        async def extend() -> bool:
            async with self.runtime.sessions.begin() as session:
                return await ClaimRepository(session).extend(claim, settings.lease_ttl)

        return Lease(extend, settings.lease_ttl, settings.heartbeat_interval)


def _iso(moment: object) -> str | None:
    return str(moment) if moment is not None else None
