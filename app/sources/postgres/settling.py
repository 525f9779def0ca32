"""Late commits: a row gets its time of ingestion when it is inserted, and is visible only once that is committed.

A window can be read when every transaction is over that may have inserted rows into it. Which ones those are, the
locks tell: a statement that writes holds a lock on its table from before it evaluates the first default until its
transaction ends. Nothing else does as well. A transaction gets its id, which snapshots go by, only when it writes its
first row, and a trigger may hold that up for long after the row's defaults have been evaluated. When other users'
transactions began is hidden from most users.

A transaction's rows become visible before its locks are released (``CommitTransaction`` and
``FinishPreparedTransaction`` call ``ProcArrayEndTransaction`` or ``ProcArrayRemove`` first): whoever sees no lock any
more, and takes a snapshot then, sees the rows.

This holds for rows whose ``inserted_at`` is the table's default. Times that a writer sets by itself are its own affair.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self

from app.errors import Misconfigured, Unsettled
from app.sources.postgres.models import literal

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 1.0
"""Seconds between looks; each pause is twice the one before."""

LOOK: Final = """
WITH RECURSIVE tables (oid) AS (
    SELECT unnest(ARRAY[{tables}]::regclass[])::oid
    UNION
    SELECT inhrelid FROM pg_inherits JOIN tables ON inhparent = tables.oid
), writers AS (
    SELECT DISTINCT virtualtransaction AS transaction, held.pid, xact_start AS began, application_name AS application
    FROM pg_locks held LEFT JOIN pg_stat_activity activity ON activity.pid = held.pid
    WHERE locktype = 'relation' AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND relation IN (SELECT oid FROM tables)
      AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
      AND (xact_start IS NULL OR xact_start < {end})
)
SELECT pg_is_in_recovery() AS replica, statement_timestamp() AS at, writers.*
FROM (SELECT) AS once LEFT JOIN writers ON true
"""
"""One statement per look, and at least one row. ``statement_timestamp`` is the time at which the statement came, so
whatever takes its lock after this look at the locks inserts later than that. The stronger locks: a transaction that
adds a partition holds one on the table, while it may fill the partition that nobody else can see yet."""


def look_at(tables: Sequence[str], end: datetime) -> str:
    """The statement of a look: who may still commit rows to ``tables`` that were inserted before ``end``."""
    return LOOK.format(tables=", ".join(f"'{table}'" for table in tables), end=literal(end))


@dataclass(frozen=True, slots=True)
class Writer:
    """An open transaction that may have inserted rows."""

    pid: int | None
    """None: it is prepared for a two-phase commit, and no session's any more."""
    began: datetime | None
    """None: this user may not see it."""
    application: str | None


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the event store found."""

    at: datetime
    replica: bool
    writers: Mapping[str, Writer]
    """By their virtual transaction ids, which never come again while the server runs, and outlast being prepared."""

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Self:
        writers = {
            row["transaction"]: Writer(row["pid"], row["began"], row["application"])
            for row in rows
            if row["transaction"] is not None
        }
        return cls(rows[0]["at"], rows[0]["replica"], writers)


async def settled(look: Callable[[], Awaitable[Look]], end: datetime, longest: timedelta, store: str) -> None:
    """Return once all is committed, or rolled back, that was inserted before ``end``. ``store`` is for messages.

    :raises Unsettled: when that takes longer than ``longest``.
    :raises Misconfigured: by a replica, where the primary's open transactions cannot be seen.
    """
    clock = asyncio.get_running_loop().time
    give_up = clock() + longest.total_seconds()
    pause = FIRST_PAUSE
    awaited: Set[str] | None = None
    while True:
        now = await look()
        if now.replica:
            raise Misconfigured(
                f"{store} is a read replica, where it cannot be seen which rows are still to be committed; let "
                "BATCH_EXPORTS_EVENT_STORE_URL point to the primary"
            )
        # Before the end by the store's own clock, whoever begins to write may still insert into the window.
        if now.at >= end:
            # Those that come after the first look insert after the end: they are not waited for, however many come.
            awaited = now.writers.keys() if awaited is None else awaited & now.writers.keys()
            if not awaited:
                return
        left = give_up - clock()
        if left <= 0:
            raise Unsettled(_why(now, awaited or (), end, longest, store))
        await asyncio.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_PAUSE)


def _why(now: Look, transactions: Collection[str], end: datetime, longest: timedelta, store: str) -> str:
    if now.at < end:
        return (
            f"by the clock of {store} it is {now.at.isoformat()} only, before the end of the interval; set the clocks "
            "of all machines right"
        )
    writers = [now.writers[transaction] for transaction in transactions]
    oldest = min(writers, key=lambda writer: writer.began or end)
    count = "1 transaction that writes" if len(writers) == 1 else f"{len(writers)} transactions that write"
    return (
        f"{count} to {store} may still commit rows of the interval, after {longest.total_seconds():g} seconds of "
        f"waiting; the oldest is {_named(oldest)}. Commit it, or end it, or set "
        "BATCH_EXPORTS_LATE_COMMIT_WAIT higher than such transactions take"
    )


def _named(writer: Writer) -> str:
    if writer.pid is None:
        return "prepared for a two-phase commit; pg_prepared_xacts lists those"
    since = (
        f"open since {writer.began.isoformat(timespec='seconds')}"
        if writer.began is not None
        else "since when it is open only a user with pg_read_all_stats may see"
    )
    application = f", application {writer.application!r}" if writer.application else ""
    return f"that of pid {writer.pid}{application}, {since}"
