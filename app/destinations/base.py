"""The seam towards destinations: a class with its config, and one verb that pulls."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from app.errors import ValidationFailed
from app.streams import Batches, Encode


class DestinationConfig(BaseModel):
    """What every destination's config has. A field's type is what the contract checks."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    exclude_events: list[str] | None = None
    include_events: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What one ``write`` left at the destination."""

    rows: int
    bytes: int
    files: tuple["WrittenFile", ...] = ()


@dataclass(frozen=True, slots=True)
class WrittenFile:
    key: str
    rows: int
    bytes: int


async def always() -> None:
    """A fence that lets everything pass."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where one run's rows go. Two writes of equal targets leave one copy: names follow from these values alone."""

    table: str
    """The model's name, for ``{table}`` in key templates."""
    start: datetime | None
    end: datetime
    run_id: UUID
    epoch: int
    """Of the attempt. For names of temporary things only, never of what stays."""
    encode: Encode | None = None
    """Batches to files, in the format the config names; None for destinations that take rows."""
    extension: str = ""
    """Behind the key's name, codec suffix included: ``jsonl.gz``."""
    fence: Callable[[], Awaitable[None]] = field(default=always, compare=False)
    """Awaited right before anything becomes visible.

    :raises app.errors.LeaseLost: when this attempt may no longer commit.
    """


class Destination(Protocol):
    """One kind of destination. Constructed from its validated config for one run, and closed after it."""

    name: ClassVar[str]
    """The type, as the API spells it."""
    config_model: ClassVar[type[DestinationConfig]]
    secrets: ClassVar[frozenset[str]]
    """Config keys that never leave the service, at any depth."""
    formats: ClassVar[Sequence[str]]
    """The file formats it stores; empty for destinations that take rows."""
    columns: ClassVar[Sequence[str]]
    """Columns of the ``events`` model that it stores, in order (the contract's section 9.1)."""

    @classmethod
    def validate(cls, config: dict[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
        """Rules across the keys of a whole, well-typed config; returns it as it is to be stored.

        ``stored`` is the config before the update, None on create.

        :raises app.errors.ValidationFailed: with attr ``destination``.
        """
        ...

    config: Any
    """An instance of ``config_model``."""

    def __init__(self, config: Any) -> None: ...

    async def write(self, batches: Batches, target: Target) -> Written:
        """Pull every batch and store it. An empty stream leaves nothing.

        Nothing is visible before this returns; on an error, or when cancelled, it cleans up behind itself.

        :raises app.errors.Retryable: a later attempt may succeed.
        :raises app.errors.Terminal: it would not.
        """
        ...


def refuse(detail: str) -> ValidationFailed:
    """A broken rule of a destination, as the API answers it."""
    return ValidationFailed(detail, attr="destination")
