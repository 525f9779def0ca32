"""Cutting batches where the rows' partition changes, run by run and not row by row.

The rows come sorted, so partitions come one after another and one file is open at a time, however many there are.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from app.errors import DataError, Defect
from app.streams import Partition

MOST_PARTITIONS: Final = 10_000
"""Of one run. Each is a file of its own: readers of more, and smaller ones, would be busy with opening them."""


class Partitioner:
    """Cuts the batches of one run. See :data:`app.streams.Cut`."""

    def __init__(self, places: Mapping[str, int]) -> None:
        """``places``: which column each variable is made of. Times stand for their day, in UTC."""
        self._places = places
        self._seen: set[Partition] = set()
        self._last: Partition | None = None

    def __call__(self, batch: pa.RecordBatch) -> Sequence[tuple[Partition, pa.RecordBatch]]:
        """:raises DataError: for more than :data:`MOST_PARTITIONS`.
        :raises Defect: for a partition that has ended before: its file has been written.
        """
        columns = [_values(batch.column(place)) for place in self._places.values()]
        ends = sorted({end for column in columns for end in _ends(column)})
        starts = [0, *ends[:-1]]
        texts = [_texts(column.take(pa.array(starts))) for column in columns]
        pieces = []
        for start, end, *values in zip(starts, ends, *texts, strict=True):
            partition = tuple(zip(self._places, values, strict=True))
            self._note(partition)
            pieces.append((partition, batch.slice(start, end - start)))
        return pieces

    def _note(self, partition: Partition) -> None:
        if partition == self._last:
            return
        if partition in self._seen:
            raise Defect("the event store has not sorted the rows as it was asked to")
        if len(self._seen) == MOST_PARTITIONS:
            variables = " and ".join(f"{{{name}}}" for name in self._places)
            raise DataError(
                f"the interval has more than {MOST_PARTITIONS:,} partitions by {variables}. Leave one of these out of "
                "'prefix', choose events with 'include_events', or a shorter interval"
            )
        self._seen.add(partition)
        self._last = partition


def _ends(column: "pa.Array[Any]") -> list[int]:
    """Where each run of equal values ends."""
    runs: list[int] = pc.call_function("run_end_encode", [column]).run_ends.to_pylist()
    return runs


def _values(column: "pa.Array[Any]") -> "pa.Array[Any]":
    return column.cast(pa.date32()) if pa.types.is_timestamp(column.type) else column


def _texts(values: "pa.Array[Any]") -> list[str]:
    """A day that no calendar has a name for is called by its number, counted from 1970."""
    if not pa.types.is_date32(values.type):
        return [value or "" for value in values.to_pylist()]
    numbers = values.cast(pa.int32()).to_pylist()
    days = values.cast(pa.string()).to_pylist()
    return [
        str(number) if (day or "").startswith("<") else day or "" for number, day in zip(numbers, days, strict=True)
    ]
