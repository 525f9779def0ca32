"""Rows that JSON readers would choke on are exported without what cannot be read, and counted. They never fail a run.

Postgres takes as ``json`` what many readers refuse: escapes of NUL and of half a surrogate pair. Plain string columns
need no cleaning: text in a UTF-8 database holds neither.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from app.json_text import SUSPECT, without_unreadable
from app.streams import Batches, is_json


@dataclass(slots=True)
class Cleaner:
    """Cleans the batches of one delivery."""

    rows: int = 0
    """So many have been changed up to now."""

    async def clean(self, batches: Batches) -> Batches:
        """The same batches with readable JSON. One that needs no change passes as it is."""
        async with aclosing(batches):
            async for batch in batches:
                cleaned, changed = await asyncio.to_thread(clean_batch, batch)
                self.rows += changed
                yield cleaned


def clean_batch(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, int]:
    """A batch with readable JSON, and how many of its rows have been changed."""
    changed: set[int] = set()
    for index, field in enumerate(batch.schema):
        if is_json(field):
            column = batch.column(index)
            if readable := _rewritten(column):
                changed |= readable.keys()
                batch = batch.set_column(index, field, _replace(column, readable))
    return batch, len(changed)


def _rewritten(column: "pa.Array[Any]") -> Mapping[int, str]:
    """What is to stand in which rows instead."""
    _, offsets, data = column.buffers()
    if offsets is None or data is None or len(column) == 0:
        return {}
    ends = memoryview(offsets).cast("i")[column.offset : column.offset + len(column) + 1]
    first = ends[0]
    # Copied, for then one byte can be looked for at the speed of memory, which spares most columns the rest.
    text = bytes(memoryview(data)[first : ends[-1]])
    if b"\\" not in text:
        return {}
    rewritten: dict[int, str] = {}
    position = 0
    while (found := SUSPECT.search(text, position)) is not None:
        row = bisect_right(ends, first + found.start()) - 1
        position = ends[row + 1] - first
        value = text[ends[row] - first : position]
        if column[row].is_valid and (readable := without_unreadable(value)) != value:
            rewritten[row] = readable.decode()
    return rewritten


def _replace(column: "pa.Array[Any]", values: Mapping[int, str]) -> "pa.Array[Any]":
    mask = pa.array([row in values for row in range(len(column))])
    replaced: pa.Array[Any] = pc.replace_with_mask(column, mask, pa.array(values.values(), column.type))
    return replaced
