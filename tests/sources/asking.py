"""HogQL asked of the event store: what a real server answers to expressions, and which events meet filters."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.query.columns import COLUMNS
from app.query.filters import conditions
from app.query.select import select_list
from app.query.tree import Field
from app.sources.base import Source
from tests.sources.store import END, QUERY, read


async def ask(source: Source, *expressions: str) -> list[Any]:
    """What each comes to for the only event there is."""
    listed = ", ".join(f"{expression} AS c{number}" for number, expression in enumerate(expressions))
    table = await read(source, replace(QUERY, fields=select_list(f"SELECT {listed} FROM events")))
    [row] = table.to_pylist()
    return list(row.values())


async def meet(source: Source, filters: Sequence[Any]) -> list[str]:
    """The names of the events that do, in order; counted, and looked at for the earliest, as well."""
    query = replace(QUERY, columns=("event",), filters=conditions(list(filters), END))
    found = sorted(row["event"] for row in (await read(source, query)).to_pylist())
    assert await source.count(query) == len(found)
    assert (await source.earliest(query) is not None) == bool(found)
    return found


async def meet_each(source: Source, filters: Sequence[Any]) -> list[list[str]]:
    """The names of the events that meet each filter by itself, in one query."""
    fields = [Field(f"c{number}", one) for number, one in enumerate(conditions(list(filters), END))]
    query = replace(QUERY, fields=[Field("event", COLUMNS["event"]), *fields])
    found = (await read(source, query)).to_pylist()
    return [sorted(row["event"] for row in found if row[field.alias]) for field in fields]
