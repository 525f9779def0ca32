"""Who may work on a run: claims, leases and the writes that an attempt makes, each fenced by its epoch.

The database's clock alone decides. An epoch is raised by every claim and never reset, so a worker that was paused,
partitioned or thought dead finds that none of its writes match a row any more.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import ARRAY, DateTime, Uuid, and_, cast, column, exists, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import aliased
from sqlalchemy.sql.dml import Update
from sqlalchemy.sql.elements import ColumnElement

from app.clocks import elapsing
from app.db.repository import Repository
from app.errors import RunError
from app.integrations.linked import SealedIntegration
from app.models import Export, Integration, Run, RunStatus, SelectBy
from app.models.enums import UNFINISHED_RUN
from app.runs.claim import Claim
from app.scheduling.intervals import Window

NOW = func.clock_timestamp()
Moment = DateTime(timezone=True)
INTEGRATION = (Integration.id, Integration.kind, Integration.config, Integration.sensitive_config)


def no_jitter(end: datetime) -> timedelta:
    """Runs begin as soon as their window has settled."""
    return timedelta(0)


class ClaimRepository(Repository):
    async def claim(self, owner: str, lease_ttl: timedelta) -> Claim | None:
        """Take the run that has been ready longest: never claimed, handed back, due again, or left by a lost worker.

        :raises sqlalchemy.exc.IntegrityError: when at this very moment somebody took another run of the same window;
            asked again, this one is not in question any more.
        """
        ready = (
            select(Run.id)
            .where(_claimable())
            .order_by(Run.not_before, Run.id)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        # With all that an attempt has to know: every statement more is one for each of thousands of empty intervals.
        known = (
            select(Export, *(column.label(f"linked_{column.key}") for column in INTEGRATION))
            .outerjoin(Integration, Integration.id == Export.integration_id)
            .subquery("known")
        )
        statement = (
            update(Run)
            .where(Run.id == ready, known.c.id == Run.export_id)
            .values(
                status=RunStatus.RUNNING,
                epoch=Run.epoch + 1,
                owner=owner,
                lease_until=NOW + lease_ttl,
                last_updated_at=NOW,
            )
            .returning(
                Run.id.label("run_id"),
                Run.epoch,
                Run.attempt,
                Run.export_id,
                Run.project_id,
                Run.backfill_id,
                known.c.model,
                known.c.destination_type,
                known.c.destination_config,
                Run.data_interval_start.label("start"),
                Run.data_interval_end.label("end"),
                Run.select_by,
                Run.error_class,
                Run.failures_alike,
                Run.retry_until,
                Run.last_updated_at.label("claimed_at"),
                known.c.interval,
                known.c.filters,
                known.c.hogql_query,
                *(known.c[f"linked_{column.key}"] for column in INTEGRATION),
            )
            .execution_options(synchronize_session=False)
        )
        asked = elapsing()
        row = (await self.session.execute(statement)).one_or_none()
        if row is None:
            return None
        values = dict(row._mapping)
        linked = {column.key: values.pop(f"linked_{column.key}") for column in INTEGRATION}
        integration = SealedIntegration(**linked) if linked["id"] is not None else None
        return Claim(**values, integration=integration, lease_ttl=lease_ttl, asked=asked)

    async def extend(self, claim: Claim) -> bool:
        """Renew the lease. False: it lapsed, passed to another worker, or the run was cancelled; never taken back."""
        return await self._write(extending(claim))

    async def keep(self, claim: Claim) -> bool:
        """Renew the lease of a run that may have been cancelled, to clean up behind it. False: it lapsed or passed."""
        held = and_(Run.id == claim.run_id, Run.epoch == claim.epoch, Run.lease_until > NOW)
        return await self._write(update(Run).where(held).values(lease_until=NOW + claim.lease_ttl))

    async def release(self, claim: Claim) -> None:
        """Let go of a run that has ended without this attempt: its window is free for other runs of it."""
        ours = and_(Run.id == claim.run_id, Run.epoch == claim.epoch, Run.status.not_in(UNFINISHED_RUN))
        await self._write(update(Run).where(ours).values(owner=None, lease_until=None))

    async def complete(self, claim: Claim, rows: int, size: int, sanitised: int = 0) -> bool:
        """Everything is at the destination. False: the run is not this attempt's to finish."""
        return await self._finish(
            claim,
            RunStatus.COMPLETED,
            records_completed=rows,
            records_sanitised=sanitised,
            bytes_exported=size,
            latest_error=None,
            error_class=None,
        )

    async def fail(self, claim: Claim, status: RunStatus, error: RunError) -> bool:
        return await self._finish(claim, status, latest_error=str(error), error_class=error.error_class)

    async def retry_later(self, claim: Claim, error: RunError, delay: timedelta, until: datetime) -> bool:
        """The attempt failed and another one follows, not before ``delay`` has passed; none after ``until``."""
        return await self._write(
            update(Run)
            # Once: this write may be repeated when the answer to the first one was lost.
            .where(_held(claim), Run.attempt == claim.attempt)
            .values(
                attempt=Run.attempt + 1,
                owner=None,
                lease_until=None,
                not_before=NOW + delay,
                latest_error=str(error),
                error_class=error.error_class,
                failures_alike=claim.failures_alike + 1 if error.error_class == claim.error_class else 1,
                retry_until=until,
                last_updated_at=NOW,
            )
        )

    async def hand_back(self, claim: Claim) -> bool:
        """Give the run to whoever is next. A deploy is no failure: the attempt does not count, nor is the place in the
        queue lost."""
        return await self._write(
            update(Run).where(_held(claim)).values(owner=None, lease_until=None, last_updated_at=NOW)
        )

    async def is_recorded(self, claim: Claim, status: RunStatus, attempt: int) -> bool:
        """Whether the row tells how this very attempt ended: for a write whose answer was lost on its way."""
        query = select(Run.id).where(
            Run.id == claim.run_id, Run.epoch == claim.epoch, Run.status == status, Run.attempt == attempt
        )
        return (await self.session.scalars(query)).one_or_none() is not None

    async def reap(self) -> Sequence[UUID]:
        """Free the runs of workers that were not heard of for a whole lease. Not a failure of the run either."""
        # Cancelled ones as well: their workers had until then to clean up.
        locked = select(Run.id).where(Run.lease_until < NOW).with_for_update(skip_locked=True).scalar_subquery()
        statement = (
            update(Run)
            .where(Run.id.in_(locked))
            .values(owner=None, lease_until=None)
            .returning(Run.id, Run.status)
            .execution_options(synchronize_session=False)
        )
        freed = (await self.session.execute(statement)).all()
        return [run_id for run_id, status in freed if status in UNFINISHED_RUN]

    async def ready(self, limit: int) -> Sequence[UUID]:
        """Runs that nobody has claimed though they could, longest waiting first."""
        query = select(Run.id).where(_claimable()).order_by(Run.not_before, Run.id).limit(limit)
        return (await self.session.scalars(query)).all()

    async def add(
        self,
        export: Export,
        windows: Iterable[Window],
        settle: timedelta,
        *,
        backfill_id: UUID | None = None,
        select_by: SelectBy = SelectBy.INGESTED_AT,
        jitter: Callable[[datetime], timedelta] = no_jitter,
    ) -> Sequence[UUID]:
        """Make one run per window, where there is none yet; the new ones' ids. Each waits past its end for ``settle``,
        and for what ``jitter`` says of that end.

        Runs of a backfill queue up behind what is ready now: old windows must not keep the schedule's own runs waiting
        until the last of them is done.
        """
        made = list(windows)
        if not made:
            return []
        # By arrays, not row by row: after a month away there are thousands, and a statement takes 32,767 parameters.
        window = (
            func.unnest(
                cast([uuid4() for _ in made], ARRAY(Uuid)),
                cast([one.start for one in made], ARRAY(Moment)),
                cast([one.end for one in made], ARRAY(Moment)),
                cast([one.end + settle + jitter(one.end) for one in made], ARRAY(Moment)),
            )
            .table_valued(
                column("id", Uuid),
                column("start", Moment),
                column("end", Moment),
                column("settled", Moment),
                name="made",
            )
            .render_derived()
        )
        values = {
            Run.id: window.c.id,
            Run.export_id: literal(export.id),
            Run.project_id: literal(export.project_id),
            Run.backfill_id: literal(backfill_id, Uuid),
            Run.data_interval_start: window.c.start,
            Run.data_interval_end: window.c.end,
            Run.select_by: literal(select_by.value),
            Run.status: literal(RunStatus.STARTING.value),
            Run.attempt: literal(0),
            Run.epoch: literal(0),
            Run.not_before: window.c.settled if backfill_id is None else func.greatest(window.c.settled, NOW),
        }
        statement = insert(Run).from_select(list(values), select(*values.values()))
        return (await self.session.scalars(statement.on_conflict_do_nothing().returning(Run.id))).all()

    async def _finish(self, claim: Claim, status: RunStatus, **values: object) -> bool:
        return await self._write(
            update(Run)
            .where(_held(claim))
            .values(status=status, owner=None, lease_until=None, finished_at=NOW, last_updated_at=NOW, **values)
        )

    async def _write(self, statement: Update) -> bool:
        result = await self.session.execute(statement.execution_options(synchronize_session=False))
        assert isinstance(result, CursorResult)
        return result.rowcount == 1


def extending(claim: Claim) -> Update:
    """Renews the lease, if it is still held."""
    held = and_(_held(claim), Run.lease_until > NOW)
    return update(Run).where(held).values(lease_until=NOW + claim.lease_ttl, last_updated_at=NOW)


def _claimable() -> ColumnElement[bool]:
    free = or_(Run.lease_until.is_(None), Run.lease_until < NOW)
    # A run and its retry write under the same names; the unique index has the last word.
    other = aliased(Run)
    same_window = and_(
        other.export_id == Run.export_id,
        other.data_interval_start.is_not_distinct_from(Run.data_interval_start),
        other.data_interval_end == Run.data_interval_end,
        other.id != Run.id,
        other.lease_until.is_not(None),
    )
    return and_(Run.status.in_(UNFINISHED_RUN), Run.not_before <= NOW, free, ~exists().where(same_window))


def _held(claim: Claim) -> ColumnElement[bool]:
    """The row is still this attempt's: neither claimed since, nor freed, nor cancelled.

    A lease that has lapsed will do as long as nobody has freed it: until then no other run of the window is made. Once
    it has been freed one may have come and gone, and what lies at the destination is that one's.
    """
    return and_(
        Run.id == claim.run_id,
        Run.epoch == claim.epoch,
        Run.status == RunStatus.RUNNING,
        Run.lease_until.is_not(None),
    )
