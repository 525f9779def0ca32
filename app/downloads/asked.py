"""Rules across the fields of what is asked of the event store, in the contract's words (section 12)."""

from datetime import datetime, timedelta
from typing import Final

from app.downloads.schemas import Asked, DownloadWrite
from app.errors import ValidationFailed
from app.models import Model

LONGEST: Final = timedelta(days=7)


def check_asked(body: Asked, now: datetime) -> None:
    """:raises ValidationFailed: for the first rule that is broken."""
    if body.model is Model.HOGQL:
        _check_query(body)
    else:
        for field in ("hogql_query", "hogql_modifiers"):
            if getattr(body, field) is not None:
                verb = "are" if field == "hogql_modifiers" else "is"
                raise ValidationFailed(f"'{field}' {verb} only supported when 'model' is 'hogql'", attr=field)
        if body.data_interval_start is None or body.data_interval_end is None:
            raise ValidationFailed("'data_interval_start' and 'data_interval_end' are required. Provide both bounds.")
    _check_bounds(body.data_interval_start, body.data_interval_end, now)


def _check_query(body: Asked) -> None:
    if isinstance(body, DownloadWrite) and (body.include or body.exclude):
        raise ValidationFailed("'include' and 'exclude' are not supported when 'model' is 'hogql'")
    if body.hogql_query is None:
        raise ValidationFailed("'hogql_query' is required when 'model' is 'hogql'", attr="hogql_query")
    # The parser is loaded where there is something to parse: every process starts sooner.
    from app.query.result import BOUNDS, parse_result

    result = parse_result(body.hogql_query)
    for bound in BOUNDS:
        if bound in result.bounds and getattr(body, bound) is None:
            raise ValidationFailed(f"'{bound}' is required because the query references '{{{bound}}}'.", attr=bound)


def _check_bounds(start: datetime | None, end: datetime | None, now: datetime) -> None:
    if start is not None and end is not None:
        if start > end:
            raise ValidationFailed("'data_interval_end' must occur after 'data_interval_start'")
        if end - start > LONGEST:
            raise ValidationFailed("data interval range too big. Choose an interval of at most seven days.")
    for name, bound in (("data_interval_end", end), ("data_interval_start", start)):
        if bound is not None and bound > now:
            raise ValidationFailed(f"The provided '{name}' ({bound.isoformat()}) is in the future")
