"""The unit of work of one request."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncSession

from app.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Unit:
    """A request's transaction, and what is to be sent once it has been committed."""

    session: AsyncSession
    runtime: Runtime
    after_commit: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
