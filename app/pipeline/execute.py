"""One attempt at a run: stream (no transaction open), beside a heartbeat, then record. Claiming comes before."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.exc import IntegrityError

from app import failpoints
from app.clocks import elapsing
from app.db.engine import DATABASE_ERRORS
from app.destinations.base import Written
from app.errors import Defect, LeaseLost, RunError, TimedOut
from app.exports.autopause import AutoPause
from app.exports.failures import note_failure
from app.logs import lines
from app.logs.lines import Level, Line, Log, NoLog
from app.models import RunStatus
from app.pipeline.deliver import Delivered, deliver, discard
from app.pipeline.fence import RunFence
from app.pipeline.lease import Lease
from app.pipeline.retry import RetryPolicy
from app.runs.claim import Claim
from app.runs.claims import ClaimRepository
from app.runs.files import RunFileRepository
from app.runs.limits import TIME_LIMITS
from app.runtime import Runtime
from app.scheduling.intervals import Window
from app.telemetry import BYTES_EXPORTED, ROWS_EXPORTED, RUN_SECONDS, RUNS_FINISHED
from app.timeouts import insisting

SHUTDOWN_LIMIT = 5.0
"""Seconds that writing to the row may still take once the process is to end; after that the lease simply lapses."""
RECORD_LIMIT = 10.0
"""Seconds after which a database that says nothing is asked again, on another connection."""
CLAIM_TRIES = 3
"""Somebody else may take another run of the same window at the very same moment; then there is the next one."""
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
        for _ in range(CLAIM_TRIES):
            with suppress(IntegrityError):
                async with self.runtime.sessions.begin() as session:
                    claim = await ClaimRepository(session).claim(self.owner, self.runtime.settings.lease_ttl)
                if claim is not None:
                    await failpoints.reach(failpoints.CLAIMED)
                return claim
        return None

    async def execute(self, claim: Claim) -> None:
        """Make one attempt and record how it went. Raises nothing but cancellation, which hands the run back."""
        with structlog.contextvars.bound_contextvars(
            run_id=str(claim.run_id), export_id=str(claim.export_id), epoch=claim.epoch
        ):
            started = time.monotonic()
            log.info("run started", start=_iso(claim.start), end=_iso(claim.end), attempt=claim.attempt + 1)
            self._tell(claim, Level.INFO, lines.started(_window(claim), claim.attempt + 1))
            lease = self._lease(claim)
            fence = RunFence(self.runtime.sessions, claim, lease)
            try:
                outcome = await lease.hold(lambda: self._attempt(claim, fence))
                await _to_its_end(self._record(claim, fence, outcome))
                await failpoints.reach(failpoints.RECORDED)
            except LeaseLost:
                log.warning("run stopped: cancelled, or another worker's by now")
                await self._stop(claim, fence)
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
            async with insisting(SHUTDOWN_LIMIT), self.runtime.sessions.begin() as session:
                claims = ClaimRepository(session)
                if await claims.hand_back(claim):
                    log.info("run handed back")
                else:
                    await claims.release(claim)
        except DATABASE_ERRORS as error:
            log.warning("run not handed back; its lease will lapse", reason=type(error).__name__)

    async def _stop(self, claim: Claim, fence: RunFence) -> None:
        if fence.left is not None:
            await self._take_back(claim, fence, fence.left)
        else:
            await self._let_go(claim)

    async def _let_go(self, claim: Claim) -> None:
        """Free the window of a run that was cancelled. If it is another worker's, nothing happens."""
        try:
            async with insisting(SHUTDOWN_LIMIT), self.runtime.sessions.begin() as session:
                await ClaimRepository(session).release(claim)
        except DATABASE_ERRORS as error:
            log.warning("window not freed; the lease will lapse", reason=type(error).__name__)

    async def _attempt(self, claim: Claim, fence: RunFence) -> Delivered | RunError:
        limit = self._time_limit(claim)
        try:
            async with asyncio.timeout(limit.total_seconds()) as timer:
                delivered = await deliver(self.runtime, claim, fence)
            await failpoints.reach(failpoints.WRITTEN)
        except RunError as error:
            return error
        except LeaseLost:
            raise
        except Exception as error:
            if timer.expired():
                return TimedOut(f"the attempt took longer than {limit}, which is the limit for this export's interval")
            # Its text may hold anything, a secret too: that goes to the operator's log, never to the run's row.
            log.exception("unexpected error in a run")
            return Defect(f"unexpected {type(error).__name__}; the worker's log of this run says more")
        return delivered

    async def _record(self, claim: Claim, fence: RunFence, outcome: Delivered | RunError) -> None:
        if isinstance(outcome, Delivered):
            await self._complete(claim, fence, outcome)
            return
        verdict, until = self._verdict(claim, outcome)
        if isinstance(verdict, RunStatus):
            await self._fail(claim, outcome, verdict)
        elif await self._write(
            claim, lambda claims: claims.retry_later(claim, outcome, verdict, until), RunStatus.RUNNING, failed=1
        ):
            log.warning("attempt failed, will be tried again", error=str(outcome), wait=verdict.total_seconds())
            self._tell(claim, Level.WARNING, lines.will_retry(_window(claim), claim.attempt + 1, outcome, verdict))

    async def _complete(self, claim: Claim, fence: RunFence, delivered: Delivered) -> None:
        written = delivered.written
        others: set[UUID] = set()

        async def complete(claims: ClaimRepository) -> bool:
            if not await claims.complete(claim, written.rows, written.bytes, delivered.sanitised):
                return False
            if fence.announced:
                files = RunFileRepository(claims.session)
                await files.commit(claim, written)
                keys = [file.key for file in written.files]
                others.update(await files.of_other_exports(claim.export_id, written.location, keys))
            return True

        if not await self._write(claim, complete, RunStatus.COMPLETED):
            await self._take_back(claim, fence, written)
            return
        log.info("run completed", rows=written.rows, bytes=written.bytes)
        self._tell(claim, Level.INFO, lines.completed(_window(claim), written.rows))
        if delivered.sanitised:
            self._tell(claim, Level.WARNING, lines.sanitised(delivered.sanitised))
        if others:
            self._tell(claim, Level.WARNING, lines.same_keys(sorted(others)))
        if written.undeleted:
            log.warning("replaced objects not deleted", keys=len(written.undeleted), reason=written.undeleted_reason)
            self._tell(claim, Level.WARNING, lines.undeleted(written.undeleted, written.undeleted_reason))
        RUNS_FINISHED.labels(RunStatus.COMPLETED, claim.destination_type).inc()
        ROWS_EXPORTED.labels(claim.destination_type).inc(written.rows)
        BYTES_EXPORTED.labels(claim.destination_type).inc(written.bytes)

    async def _fail(self, claim: Claim, error: RunError, status: RunStatus) -> None:
        async def fail(claims: ClaimRepository) -> bool:
            if not await claims.fail(claim, status, error):
                return False
            await note_failure(claims.session, claim, status, error, self.runtime.clock())
            return True

        if not await self._write(claim, fail, status):
            await self._let_go(claim)
            return
        log.error("run failed", error=str(error), status=status)
        self._tell(claim, Level.ERROR, lines.ended(_window(claim), claim.attempt + 1, error))
        RUNS_FINISHED.labels(status, claim.destination_type).inc()
        if status is RunStatus.FAILED and claim.backfill_id is None:
            await AutoPause.of(self.runtime).after_failure(claim.export_id)

    async def _take_back(self, claim: Claim, fence: RunFence, written: Written) -> None:
        """The run was cancelled after its last object had become visible: nothing of it may stay, unless an earlier
        run's objects have been overwritten by it. Those cannot be had back, and the new ones are whole."""
        if fence.announced and await fence.owns():
            try:
                if not fence.earlier.replaces:
                    await discard(self.runtime, claim, written)
                async with self.runtime.sessions.begin() as session:
                    files = RunFileRepository(session)
                    if fence.earlier.replaces:
                        await files.commit(claim, written)
                    else:
                        await files.forget(claim)
            except (RunError, *DATABASE_ERRORS) as error:
                log.warning("objects of a cancelled run not deleted", reason=str(error))
        await self._let_go(claim)

    def _verdict(self, claim: Claim, error: RunError) -> tuple[RunStatus | timedelta, datetime]:
        """What follows, and until when there may be further attempts, by the database's clock."""
        settings = self.runtime.settings
        policy = RetryPolicy(settings.retry_backoff_initial, settings.retry_backoff_max, settings.retry_max_attempts)
        alike = claim.failures_alike if error.error_class == claim.error_class else 0
        until = claim.retry_until or claim.claimed_at + self._time_limit(claim)
        now = claim.claimed_at + timedelta(seconds=elapsing() - claim.asked)
        chance = random.random()  # noqa: S311  spreads load, guards nothing
        return policy.verdict(error, alike, until - now, chance), until

    def _time_limit(self, claim: Claim) -> timedelta:
        return self.runtime.settings.run_time_limit or TIME_LIMITS[claim.interval]

    async def _write(
        self, claim: Claim, write: Callable[[ClaimRepository], Awaitable[bool]], status: RunStatus, failed: int = 0
    ) -> bool:
        """Record, trying again while the database is away, for as long as the lease may last.

        Repeating is safe: a second write of the same outcome matches no row. When the answer to a commit was lost, only
        the row knows whether it happened; ``status``, and ``failed`` more attempts, are what it says then.

        False: the run is not ours any more.
        """
        give_up = time.monotonic() + claim.lease_ttl.total_seconds()
        unsure = False
        while True:
            try:
                async with insisting(RECORD_LIMIT), self.runtime.sessions.begin() as session:
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
        async def extend() -> bool:
            async with self.runtime.sessions.begin() as session:
                return await ClaimRepository(session).extend(claim)

        return Lease(extend, claim.lease_ttl, self.runtime.settings.heartbeat_interval, claim.asked)


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
