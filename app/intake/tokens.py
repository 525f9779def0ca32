"""Which project a token belongs to, remembered for a moment: every request asks."""

from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from sqlalchemy import select

from app.db.engine import DATABASE_ERRORS, Sessions
from app.db.repository import Repository
from app.intake.errors import NotStored, UnknownToken
from app.models import Project

MAX_TOKEN: Final = 200
REMEMBERED: Final = 10_000
"""Tokens. Those of projects are few; anybody may make up any others."""
UNKNOWN_TTL: Final = timedelta(seconds=2)
"""A project that was just made must not be refused for long."""


class TokenRepository(Repository):
    async def project_id(self, token: str) -> int | None:
        return (await self.session.scalars(select(Project.id).where(Project.token == token))).one_or_none()


class Tokens:
    """``clock`` gives seconds that only go forward."""

    def __init__(self, sessions: Sessions, ttl: timedelta, clock: Callable[[], float]) -> None:
        self._sessions = sessions
        self._ttl = ttl.total_seconds()
        self._unknown_ttl = min(ttl, UNKNOWN_TTL).total_seconds()
        self._clock = clock
        self._known: OrderedDict[str, tuple[int | None, float]] = OrderedDict()

    async def project_id(self, token: str) -> int:
        """:raises UnknownToken: when there is no such project.
        :raises NotStored: when the database does not answer.
        """
        if len(token) > MAX_TOKEN or not token.isascii() or not token.isprintable():
            raise UnknownToken
        found, until = self._known.get(token, (None, float("-inf")))
        if self._clock() >= until:
            found = await self._look_up(token)
            until = self._clock() + (self._ttl if found is not None else self._unknown_ttl)
            self._known[token] = found, until
            self._known.move_to_end(token)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        if found is None:
            raise UnknownToken
        return found

    async def _look_up(self, token: str) -> int | None:
        try:
            async with self._sessions() as session:
                return await TokenRepository(session).project_id(token)
        except DATABASE_ERRORS:
            raise NotStored from None
