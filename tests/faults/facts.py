"""The same few facts of the model and of rows, and what must hold of rows whatever a model thinks."""

from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

from tests.faults.model import LENGTHS, UNFINISHED, BackfillModel, ExportModel, Lease, RunModel
from tests.faults.world import Row


def moment(text: str | None) -> datetime:
    assert text is not None
    return datetime.fromisoformat(text)


def _maybe(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def unfinished(row: Row) -> bool:
    return row["status"] in UNFINISHED


def of_export(export: ExportModel) -> tuple[object, ...]:
    return export.next_start, export.accounted_from, export.paused, export.deleted


def of_export_row(row: Row) -> tuple[object, ...]:
    return moment(row["next_start"]), moment(row["accounted_from"]), row["paused"], row["deleted"]


def of_backfill(backfill: BackfillModel) -> tuple[object, ...]:
    return backfill.start, backfill.end, backfill.adjusted, backfill.cursor, backfill.retry_of, backfill.status


def of_backfill_row(row: Row) -> tuple[object, ...]:
    moments = (_maybe(row[name]) for name in ("start_at", "end_at", "adjusted_start_at", "next_start"))
    return *moments, row["retry_of"] and UUID(row["retry_of"]), row["status"]


def of_run(run: RunModel) -> tuple[object, ...]:
    ended = not run.unfinished
    return run.id, run.end, run.status, run.epoch, run.attempt, run.owner, run.lease, run.not_before, ended


def of_run_row(row: Row) -> tuple[object, ...]:
    lease = Lease.NONE if row["lease_until"] is None else Lease.LAPSED if row["lapsed"] else Lease.HELD
    moments = moment(row["data_interval_end"]), row["status"], row["epoch"], row["attempt"], row["owner"], lease
    return UUID(row["id"]), *moments, moment(row["not_before"]), row["finished_at"] is not None


def key_of(row: Row) -> tuple[UUID, UUID | None, datetime]:
    return UUID(row["export_id"]), row["backfill_id"] and UUID(row["backfill_id"]), moment(row["data_interval_start"])


def every_due_interval_has_one_run(exports: dict[UUID, Row], runs: dict[UUID, Row]) -> None:
    """Between the first accounted window and the next one, the schedule's own runs tile time."""
    for export_id, export in exports.items():
        scheduled = sorted(
            (moment(row["data_interval_start"]), moment(row["data_interval_end"]))
            for row in runs.values()
            if UUID(row["export_id"]) == export_id and row["backfill_id"] is None
        )
        first, last = moment(export["accounted_from"]), moment(export["next_start"])
        accounted = [window for window in scheduled if window[0] >= first]
        assert sum((end - start for start, end in accounted), timedelta(0)) == last - first
        assert all(end - start == LENGTHS[export["interval"]] for start, end in accounted)
        assert all(before[1] <= after[0] for before, after in pairwise(scheduled))


def a_window_is_held_once(runs: dict[UUID, Row]) -> None:
    held = Counter(
        (row["export_id"], row["data_interval_start"], row["data_interval_end"])
        for row in runs.values()
        if row["lease_until"] is not None
    )
    assert max(held.values(), default=1) == 1


def backfills_go_window_by_window(backfills: dict[UUID, Row], runs: dict[UUID, Row]) -> None:
    for backfill_id in backfills:
        own = [row for row in runs.values() if row["backfill_id"] == str(backfill_id)]
        own.sort(key=lambda row: moment(row["data_interval_start"]))
        assert all(before["data_interval_end"] == after["data_interval_start"] for before, after in pairwise(own))
        # Until one has ended there is none after it.
        assert not any(unfinished(row) for row in own[:-1])
        assert all(
            moment(before["finished_at"]) <= moment(after["created_at"]) for before, after in pairwise(own)
        ) or any(row["status"] == "Cancelled" for row in own)
