"""The schedule an export's row describes."""

from datetime import timedelta

from app.models import Export, Interval
from app.scheduling.intervals import Schedule


def schedule_of(export: Export) -> Schedule:
    return Schedule(Interval(export.interval), export.timezone, timedelta(seconds=export.interval_offset or 0))
