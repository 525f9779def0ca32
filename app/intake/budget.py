"""How much of requests one process has in memory: bounded, and refused beyond."""

from threading import Lock
from types import TracebackType
from typing import Self

from app.intake.errors import Full


class Budget:
    """Of bytes. Large bodies are unpacked in a thread, so it is taken from there too."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = Lock()
        self.taken = 0

    def lease(self) -> "Lease":
        return Lease(self)

    def take(self, count: int) -> None:
        """:raises Full: when there are not so many left."""
        with self._lock:
            if self.taken + count > self._size:
                raise Full
            self.taken += count

    def give(self, count: int) -> None:
        with self._lock:
            self.taken -= count


class Lease:
    """What one request has of a budget; given back when the block is left."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held = 0

    def take(self, count: int) -> None:
        """:raises Full: when there are not so many left; what is held already is kept."""
        self._budget.take(count)
        self._held += count

    def hold(self, count: int) -> None:
        """Hold so many from now on, be it more or less than before.

        :raises Full: when there are not so many left.
        """
        if count > self._held:
            self.take(count - self._held)
        else:
            self._budget.give(self._held - count)
            self._held = count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hold(0)
