"""The seam towards destinations: a class with its config, and one verb that pulls."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from app.destinations.proposal import Linked, Proposal, Takes, check_integration, overlay
from app.destinations.steps import Step
from app.network import Network
from app.streams import Batches, Encode


class DestinationConfig(BaseModel):
    """What every destination's config has. A field's type is what the contract checks."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    exclude_events: list[str] | None = None
    include_events: list[str] | None = None

    @classmethod
    def by_key(cls) -> dict[str, FieldInfo]:
        """The fields under the names that the API gives them: pydantic keeps some of those for itself."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}

    def __repr__(self) -> str:
        """Without what it holds, wherever it may be printed."""
        return f"{type(self).__name__}(…)"

    __str__ = __repr__


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


@dataclass(frozen=True, slots=True)
class Gate:
    """The feature flag of a project without which it cannot have exports of a type."""

    flag: str


class Destination(ABC):
    """One kind of destination. Constructed from its validated config for one run, and closed after it."""

    name: ClassVar[str]
    """The type, as the API spells it."""
    config_model: ClassVar[type[DestinationConfig]]
    secrets: ClassVar[frozenset[str]] = frozenset()
    """Config keys that never leave the service, at any depth."""
    formats: ClassVar[Sequence[str]] = ()
    """The file formats it stores; empty for destinations that take rows."""
    columns: ClassVar[Sequence[str]]
    """Columns of the ``events`` model that it stores, in order (the contract's section 9.1)."""
    takes: ClassVar[Takes | None] = None
    """The kind of integration it takes."""
    inline: ClassVar[Sequence[str]] = ()
    """Config keys that stand in for an integration; empty: where it takes one, it must have one."""
    gate: ClassVar[Gate | None] = None
    hidden: ClassVar[bool] = False
    """Its exports can be retrieved, but are in no list."""
    models: ClassVar[Sequence[str] | None] = None
    """The only models it can be given; None for all."""
    steps: ClassVar[Sequence[Step]] = ()
    """Its connection test, in order."""
    delivers: ClassVar[bool] = True

    config: Any
    """An instance of ``config_model``."""

    def __init__(self, config: Any, network: Network) -> None:
        """``network`` says where it may connect to."""
        self.config = config
        self.network = network

    @classmethod
    def validate(cls, proposal: Proposal) -> dict[str, Any]:
        """Rules across the keys of a whole, well-typed config; returns it as it is to be stored.

        :raises app.errors.ValidationFailed: with attr ``destination``.
        """
        check_integration(cls.name, cls.takes, cls.inline, proposal)
        return cls.settle(proposal)

    @classmethod
    def settle(cls, proposal: Proposal) -> dict[str, Any]:
        """The type's own part of :meth:`validate`."""
        return dict(proposal.config)

    @classmethod
    def settings(cls, document: Mapping[str, Any], integration: Linked | None) -> dict[str, Any]:
        """What a run is configured with.

        :raises app.errors.RunError: where that would not do.
        """
        return overlay(document, integration)

    @abstractmethod
    async def write(self, batches: Batches, target: Target) -> Written:
        """Pull every batch and store it. An empty stream leaves nothing.

        Nothing is visible before this returns; on an error, or when cancelled, it cleans up behind itself.

        :raises app.errors.Retryable: a later attempt may succeed.
        :raises app.errors.Terminal: it would not.
        """
