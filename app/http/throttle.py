"""Too many requests of one key are turned away before they cost a connection to the database."""

from fastapi import Request

from app.runtime import Runtime
from app.tenants.tokens import hash_key


def get_runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


def sent_key(request: Request) -> str | None:
    """The API key that the request carries; None for another scheme, or none."""
    kind, _, text = request.headers.get("Authorization", "").strip().partition(" ")
    return text.strip() or None if kind.lower() == "bearer" else None


async def throttle(request: Request) -> None:
    """Counts by what was sent, whether it is a live key or not: a guess costs as much as a use.

    :raises app.errors.RateLimited: with the seconds until the next minute.
    """
    if (key := sent_key(request)) is not None:
        await get_runtime(request).rate_limit.admit(hash_key(key).hex())


async def throttle_counts(request: Request) -> None:
    """Beside the limit on all requests, one on those that have rows counted.

    :raises app.errors.RateLimited: as above.
    """
    if (key := sent_key(request)) is not None:
        await get_runtime(request).rate_limit.admit_count(hash_key(key).hex())
