"""How a run's rows are partitioned: in which order they are asked for, and where their batches are cut."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from app.destinations.base import Destination
from app.destinations.files import partition_columns
from app.errors import Misconfigured, ValidationFailed
from app.formats.base import in_one_piece
from app.formats.partitions import Partitioner
from app.query.tree import Column
from app.sources.base import EventQuery
from app.streams import Cut


def partitioned(query: EventQuery, destination: Destination) -> tuple[EventQuery, Callable[[], Cut]]:
    """The query, sorted as its partitions need it, and what makes the knife for one delivery.

    The source sorts, so that partitions come one after another: however many there are, one file is open at a time.

    :raises Misconfigured: for a query without a column that partitions are made of.
    """
    columns = _columns(query)
    if not destination.formats:
        return query, lambda: in_one_piece
    try:
        made_of = partition_columns(destination.config.model_dump(), query.model, [name for name in columns if name])
    except ValidationFailed as error:
        raise Misconfigured(error.detail) from None
    if not made_of:
        return query, lambda: in_one_piece
    places = {variable: columns.index(name) for variable, name in made_of.items()}
    return replace(query, order=_order(query.model, list(made_of.values()))), lambda: Partitioner(places)


def _columns(query: EventQuery) -> Sequence[str | None]:
    """Where which column of the model is among those of the rows; none in the place of what is computed."""
    if query.fields is None:
        return query.columns
    return [field.expression.name if isinstance(field.expression, Column) else None for field in query.fields]


def _order(model: str, columns: Sequence[str]) -> Sequence[str]:
    """By time at last, so that every file is sorted by it. No other column has more than one value in a partition."""
    time = "start_timestamp" if model == "sessions" else "timestamp"
    return (*dict.fromkeys(name for name in columns if name != time), time)
