"""The fence of one attempt, on the rows of its run."""

from collections.abc import Sequence

from app import failpoints
from app.db.engine import Sessions
from app.destinations.base import Earlier, Written
from app.errors import LeaseLost
from app.pipeline.lease import Lease
from app.runs.claim import Claim
from app.runs.claims import ClaimRepository, extending
from app.runs.files import RunFileRepository

OWNS_LIMIT = 10.0
"""Seconds that asking whether the run is still this attempt's may take, once it has been cancelled."""


class RunFence:
    """What :class:`app.destinations.base.Fence` asks for."""

    def __init__(self, sessions: Sessions, claim: Claim, lease: Lease) -> None:
        self._sessions = sessions
        self._claim = claim
        self._lease = lease
        self.earlier = Earlier()
        self.announced = False
        """Whether there is anything at the destination, of this attempt or of others, to keep records of."""

        self.left: Written | None = None
        """What a stopped write has brought to its end."""

    async def announce(self, location: str, keys: Sequence[str]) -> Earlier:
        async def renew() -> bool:
            async with self._sessions.begin() as session:
                files = RunFileRepository(session)
                earlier = await files.earlier(self._claim, location, keys, extending(self._claim))
                if earlier is None:
                    return False
                await files.announce(self._claim, location, keys)
            self.earlier = Earlier(*earlier)
            return True

        await self._lease.confirm(renew)
        self.announced = bool(keys or self.earlier.stale)
        await failpoints.reach(failpoints.ANNOUNCED)
        return self.earlier

    async def confirm(self) -> None:
        await self._lease.confirm()

    def finished(self, written: Written) -> None:
        self.left = written

    def check(self) -> None:
        self._lease.check()

    async def owns(self) -> bool:
        async def keep() -> bool:
            async with self._sessions.begin() as session:
                return await ClaimRepository(session).keep(self._claim)

        try:
            # However the last beat was answered: of a run that was cancelled the lease goes on.
            await self._lease.confirm(keep, within=OWNS_LIMIT)
        except LeaseLost:
            return False
        return True
