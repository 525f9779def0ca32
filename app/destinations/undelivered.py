"""Types that this version checks, stores and shows, but cannot deliver to yet."""

from contextlib import aclosing
from typing import ClassVar

from app.destinations.base import Destination, Target, Written
from app.errors import Unsupported
from app.streams import Batches


class Undelivered(Destination):
    delivers: ClassVar[bool] = False

    async def write(self, batches: Batches, target: Target) -> Written:
        async with aclosing(batches):
            raise Unsupported(f"this version cannot deliver to {self.name} yet")
