"""What an export's stored filters and query ask of the event store."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.errors import Misconfigured, ValidationFailed
from app.query.tree import Expression, Field

# The parser is loaded where there is something to parse: few exports have a query, and every process starts sooner.


def schema_of(query: str | None) -> dict[str, Any] | None:
    """The document that clients are shown of a query (the contract's section 9.4).

    :raises ValidationFailed: for one that cannot be exported.
    """
    if query is None:
        return None
    from app.query.printing import schema
    from app.query.select import select_list

    return schema(select_list(query))


def stored_filters(filters: Any, until: datetime) -> Sequence[Expression]:
    """See :func:`app.query.filters.conditions`.

    :raises Misconfigured: for some that another version has stored, and this one does not understand.
    """
    if not filters:
        return ()
    from app.query.filters import conditions

    try:
        return conditions(filters, until)
    except ValidationFailed as error:
        raise Misconfigured(f"the export's filters are not valid in this version ({error}); save them anew") from None


def stored_result(
    query: str, start: datetime | None, end: datetime | None
) -> tuple[Sequence[Field], Sequence[Expression]]:
    """Columns and conditions of a query of the model ``hogql``; the bounds are the values of its placeholders.

    :raises Misconfigured: as above.
    """
    from app.query.result import parse_result

    try:
        result = parse_result(query).within(start, end)
        return result.fields, result.conditions
    except ValidationFailed as error:
        raise Misconfigured(f"the export's query is not valid in this version ({error}); save it anew") from None


def stored_fields(query: str | None) -> Sequence[Field] | None:
    """None: there is no query, and the destination's own columns are exported.

    :raises Misconfigured: as above.
    """
    if query is None:
        return None
    from app.query.select import select_list

    try:
        return select_list(query)
    except ValidationFailed as error:
        raise Misconfigured(f"the export's query is not valid in this version ({error}); save it anew") from None
