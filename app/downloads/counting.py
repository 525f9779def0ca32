"""How many rows a query has, before somebody asks for them."""

import asyncio

from app.downloads.asked import check_asked
from app.downloads.schemas import CountWrite
from app.errors import RunError, Unavailable, ValidationFailed
from app.http.body import Draft
from app.pipeline.opening import result_query
from app.tenants.access import Access
from app.unit import Unit


async def count_rows(unit: Unit, access: Access, draft: Draft[CountWrite]) -> int:
    """:raises ValidationFailed: for a body that is none, and when counting takes too long.
    :raises PermissionDenied: where the flag is off.
    :raises Unavailable: when the event store does not answer.
    """
    runtime = unit.runtime
    body = draft.check(access)
    check_asked(body, runtime.clock())
    # The event store may take its time; no connection to the database waits with it.
    await unit.session.commit()
    limit = runtime.settings.count_rows_time_limit.total_seconds()
    try:
        query = result_query(
            access.project_id, body.hogql_query or "", body.data_interval_start, body.data_interval_end
        )
        # Whoever stops waiting ends the query at the server as well.
        async with asyncio.timeout(limit):
            return await runtime.source.count(query)
    except TimeoutError:
        raise ValidationFailed(
            f"Counting the rows took longer than {limit:g} seconds. Ask for fewer of them, by conditions on timestamp.",
            code="timeout_exceeded",
        ) from None
    except RunError as error:
        if error.retryable:
            raise Unavailable(f"The rows cannot be counted just now. {error}") from None
        raise ValidationFailed(f"The rows cannot be counted. {error}") from None
