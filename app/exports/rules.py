"""Rules across the fields of an export (the contract's sections 4.4 and 5.2). They hold once every field passed."""

from collections.abc import Mapping
from typing import Any

from app.destinations import DESTINATIONS
from app.destinations.files import partition_columns
from app.errors import ValidationFailed
from app.exports.schemas import ExportWrite
from app.models import Interval, Model
from app.query.select import select_list
from app.query.tree import Column

DAY_SECONDS = 86_400
HOUR_SECONDS = 3_600


HOGQL_ONLY = ("hogql_modifiers", "primary_key", "version_key")


def check_destination(destination_type: str, model: str) -> None:
    """:raises ValidationFailed: for a model that the type of destination does not take."""
    models = DESTINATIONS[destination_type].models
    if models is not None and model not in models:
        raise ValidationFailed(f"{destination_type} batch exports only support the {' and '.join(models)} model")


def check_fields(body: ExportWrite, model: str) -> None:
    """:raises ValidationFailed: for fields that the model does not have, and for a query that cannot be exported."""
    for field in ("hogql_query", "hogql_modifiers", "primary_key", "version_key", "filters"):
        value = getattr(body, field)
        if value is None:
            continue
        owner = Model.HOGQL if field in HOGQL_ONLY else Model.EVENTS
        if model != owner:
            raise ValidationFailed(f"'{field}' is only supported for '{owner}' not '{model}' model", attr=field)
    if body.hogql_query is not None:
        select_list(body.hogql_query)


def check_partitions(destination_type: str, config: Mapping[str, Any], model: str, hogql_query: str | None) -> None:
    """:raises ValidationFailed: for keys that are partitioned by what the rows do not have."""
    if not config.get("partition_rows"):
        return
    if hogql_query is None:
        columns = [*DESTINATIONS[destination_type].columns[model]]
    else:
        expressions = (field.expression for field in select_list(hogql_query))
        columns = [expression.name for expression in expressions if isinstance(expression, Column)]
    partition_columns(config, model, columns)


def interval_offset(body: ExportWrite, interval: Interval, stored: int | None, *, reset: bool) -> int | None:
    """The offset to store, in seconds from the beginning of the day or week; None where an interval has none.

    Keys that were not sent leave ``stored`` as it is, unless ``reset``.

    :raises ValidationFailed: for an offset that the interval does not have.
    """
    if body.offset_day is not None and interval is not Interval.WEEK:
        raise ValidationFailed("offset_day is not applicable for non-weekly intervals", attr="offset_day")
    if body.offset_hour is not None and interval not in (Interval.DAY, Interval.WEEK):
        raise ValidationFailed("offset_hour is not applicable for non-daily/weekly intervals", attr="offset_hour")
    if interval not in (Interval.DAY, Interval.WEEK):
        return None
    base = 0 if reset else stored or 0
    sent = body.model_fields_set
    day = (body.offset_day or 0) if "offset_day" in sent else base // DAY_SECONDS
    hour = (body.offset_hour or 0) if "offset_hour" in sent else base % DAY_SECONDS // HOUR_SECONDS
    return (day * DAY_SECONDS if interval is Interval.WEEK else 0) + hour * HOUR_SECONDS
