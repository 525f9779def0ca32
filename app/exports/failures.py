"""What a failed run leads to, written in the transaction that records its end."""

from datetime import datetime
from typing import Final

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import RunError
from app.logs.lines import storable
from app.models import Export, RunStatus, UncountedFailure
from app.notifications.notices import Kind, Notice, iso
from app.notifications.outbox import Outbox
from app.runs.claim import Claim

TOLD: Final = frozenset({RunStatus.FAILED, RunStatus.FAILED_RETRYABLE, RunStatus.TIMED_OUT})
"""What people are told of: not of what they cancelled, nor of a quota (the contract's section 7)."""


async def note_failure(session: AsyncSession, claim: Claim, status: RunStatus, error: RunError, now: datetime) -> None:
    """Have people told, once a day, and the failure counted towards pausing the export."""
    export = await session.get_one(Export, claim.export_id)
    # Of an export that was deleted, or never was one in people's eyes, nobody wants to hear.
    if status in TOLD and not export.deleted:
        notice = Notice.daily(
            Kind.RUN_FAILED,
            export,
            now,
            run_id=str(claim.run_id),
            backfill_id=str(claim.backfill_id) if claim.backfill_id is not None else None,
            data_interval_start=iso(claim.start) if claim.start is not None else None,
            data_interval_end=iso(claim.end),
            status=status.value,
            error=storable(str(error)),
        )
        await Outbox(session).add([notice], now)
    if status is RunStatus.FAILED and claim.backfill_id is None:
        failure = insert(UncountedFailure).values(run_id=claim.run_id, export_id=claim.export_id)
        await session.execute(failure.on_conflict_do_nothing())
