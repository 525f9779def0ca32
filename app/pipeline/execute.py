"""One attempt at a run: stream (no transaction open), beside a heartbeat, then record. Claiming comes before."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog

from app.db.engine import DATABASE_ERRORS
from app.destinations.base import Written
from app.errors import Defect, LeaseLost, RunError
from app.logs import lines
from app.logs.lines import Level, Line, Log, NoLog
from app.models import RunStatus
from app.pipeline.deliver import deliver
from app.pipeline.lease import Lease
from app.pipeline.retry import RetryPolicy
from app.runs.claims import Claim, ClaimRepository
from app.runtime import Runtime
from app.scheduling.intervals import Window
from app.telemetry import BYTES_EXPORTED, ROWS_EXPORTED, RUN_SECONDS, RUNS_FINISHED

SHUTDOWN_LIMIT = 5.0
"""Seconds that writing to the row may still take once the process is to end; after that the lease simply lapses."""
RECORD_LIMIT = 10.0
"""Seconds after which a database that says nothing is asked again, on another connection."""
RECORD_RETRY_WAIT = 0.5
"""Seconds between tries to record an outcome while the database is away."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Executor:
    """Works on claimed runs in the name of one worker process."""

    runtime: Runtime
    owner: str
    logs: Log = field(default_factory=NoLog)
    """For those whose exports these are; the process's own log is another."""

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
            self._tell(claim, Level.INFO, lines.started(_window(claim), claim.attempt + 1))
            try:
                outcome = await self._lease(claim).hold(lambda: self._attempt(claim))
                await _to_its_end(self._record(claim, outcome))
            except LeaseLost:
                log.warning("run stopped: cancelled, or another worker's by now")
            except asyncio.CancelledError:
                await self.hand_back(claim)
                raise
            except Exception:
                log.exception("run left to its lease")
            finally:
                RUN_SECONDS.labels(claim.destination_type).observe(time.monotonic() - started)

    async def hand_back(self, claim: Claim) -> None:
        """Let another worker have the run; nothing to one that has ended."""
        try:
            async with asyncio.timeout(SHUTDOWN_LIMIT), self.runtime.sessions.begin() as session:
                if await ClaimRepository(session).hand_back(claim):
                    log.info("run handed back")
        except DATABASE_ERRORS as error:
            log.warning("run not handed back; its lease will lapse", reason=type(error).__name__)

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
            if await self._write(
                claim, lambda claims: claims.complete(claim, outcome.rows, outcome.bytes), RunStatus.COMPLETED
            ):
                log.info("run completed", rows=outcome.rows, bytes=outcome.bytes)
                self._tell(claim, Level.INFO, lines.completed(_window(claim), outcome.rows))
                RUNS_FINISHED.labels(RunStatus.COMPLETED, claim.destination_type).inc()
                ROWS_EXPORTED.labels(claim.destination_type).inc(outcome.rows)
                BYTES_EXPORTED.labels(claim.destination_type).inc(outcome.bytes)
            return
        settings = self.runtime.settings
        policy = RetryPolicy(settings.retry_backoff_initial, settings.retry_backoff_max, settings.retry_max_attempts)
        verdict = policy.verdict(outcome, claim.attempt, random.random())  # noqa: S311  spreads load, guards nothing
        if isinstance(verdict, RunStatus):
            if await self._write(claim, lambda claims: claims.fail(claim, verdict, outcome), verdict):
                log.error("run failed", error=str(outcome), status=verdict)
                self._tell(claim, Level.ERROR, lines.ended(_window(claim), claim.attempt + 1, outcome))
                RUNS_FINISHED.labels(verdict, claim.destination_type).inc()
        elif await self._write(
            claim, lambda claims: claims.retry_later(claim, outcome, verdict), RunStatus.RUNNING, failed=1
        ):
            log.warning("attempt failed, will be tried again", error=str(outcome), wait=verdict.total_seconds())
            self._tell(claim, Level.WARNING, lines.will_retry(_window(claim), claim.attempt + 1, outcome, verdict))

    async def _write(
        self, claim: Claim, write: Callable[[ClaimRepository], Awaitable[bool]], status: RunStatus, failed: int = 0
    ) -> bool:
        """Record, trying again while the database is away, for as long as the lease may last.

        Repeating is safe: a second write of the same outcome matches no row. When the answer to a commit was lost, only
        the row knows whether it happened; ``status``, and ``failed`` more attempts, are what it says then.

        False: the run is not ours any more.
        """
        give_up = time.monotonic() + self.runtime.settings.lease_ttl.total_seconds()
        unsure = False
        while True:
            try:
                async with asyncio.timeout(RECORD_LIMIT), self.runtime.sessions.begin() as session:
                    claims = ClaimRepository(session)
                    recorded = await write(claims)
                    if not recorded and unsure:
                        recorded = await claims.is_recorded(claim, status, claim.attempt + failed)
            except DATABASE_ERRORS as error:
                unsure = True
                if time.monotonic() >= give_up:
                    log.error("outcome not recorded; another worker will take the run", reason=type(error).__name__)
                    return False
                await asyncio.sleep(RECORD_RETRY_WAIT)
            else:
                if not recorded:
                    log.warning("outcome not recorded: the run was cancelled, or is another worker's by now")
                return recorded

    def _tell(self, claim: Claim, level: Level, message: str) -> None:
        self.logs.write(Line(claim.export_id, claim.run_id, level, message))

    def _lease(self, claim: Claim) -> Lease:
        settings = self.runtime.settings

        async def extend() -> bool:
            async with self.runtime.sessions.begin() as session:
                return await ClaimRepository(session).extend(claim, settings.lease_ttl)

        return Lease(extend, settings.lease_ttl, settings.heartbeat_interval)


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do ``work``; once cancelled, for a few seconds more: what has been exported should not be exported again."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=SHUTDOWN_LIMIT)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise


def _window(claim: Claim) -> Window:
    return Window(claim.start, claim.end)


def _iso(moment: object) -> str | None:
    return str(moment) if moment is not None else None
