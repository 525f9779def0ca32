"""From when on the event store's rows are still needed, so that nothing is deleted that is yet to be exported."""

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import DateTime, Interval, case, func, literal, or_, select

from app.db.repository import Repository
from app.models import Backfill, BackfillStatus, Export, Run
from app.models.enums import UNFINISHED_RUN
from app.sources.columns import REACH

BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Nothing came into an event store before it."""
_BEGINNING: Final = literal(BEGINNING, DateTime(timezone=True))
_UNFINISHED_BACKFILL: Final = (BackfillStatus.STARTING, BackfillStatus.RUNNING)


class Needed(Repository):
    async def since(self) -> datetime | None:
        """The earliest moment that some run will read: one that is under way, one that a schedule or a backfill is yet
        to make. None: there is nothing to come.

        Paused exports need nothing, for what a pause misses is never made up by itself; nor do failed runs: whoever
        wants to retry one has until it is deleted.
        """
        going_on = or_(Export.end_at.is_(None), Export.next_start < Export.end_at)
        reach = case(
            {model: literal(reach, Interval()) for model, reach in REACH.items()},
            value=Export.model,
            else_=literal(timedelta(0), Interval()),
        )
        run = func.coalesce(Run.data_interval_start, _BEGINNING)
        backfill = func.coalesce(Backfill.next_start, Backfill.start_at, _BEGINNING)
        starts = (
            select(func.min(run - reach))
            .select_from(Run)
            .join(Export, Export.id == Run.export_id)
            .where(Run.status.in_(UNFINISHED_RUN)),
            select(func.min(backfill - reach))
            .select_from(Backfill)
            .join(Export, Export.id == Backfill.export_id)
            .where(Backfill.status.in_(_UNFINISHED_BACKFILL)),
            select(func.min(Export.next_start - reach)).where(~Export.deleted, ~Export.paused, going_on),
        )
        found = [await self.session.scalar(start) for start in starts]
        return min((start for start in found if start is not None), default=None)
