"""The seam towards destinations: a class with its config, and one verb that pulls."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from app.destinations.columns import Columns
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
class WrittenFile:
    """An object that one ``write`` has made visible."""

    key: str
    rows: int
    bytes: int
    sha256: str
    """Of its bytes as they are stored, in hexadecimal digits."""
    min_timestamp: datetime | None = None
    max_timestamp: datetime | None = None
    """The least and the greatest ``timestamp`` of its rows; None where rows have none."""


@dataclass(frozen=True, slots=True)
class Written:
    """What one ``write`` left at the destination."""

    rows: int
    bytes: int
    files: tuple[WrittenFile, ...] = ()
    manifest: WrittenFile | None = None
    location: str = ""
    """The store and its container, without secrets; empty for destinations that store no files."""
    undeleted: tuple[str, ...] = ()
    """Keys that this write has replaced and could not delete; the reason is in ``undeleted_reason``."""
    undeleted_reason: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An object that was read back."""

    bytes: int
    sha256: str


class Stored(Protocol):
    """What lies at a destination that stores files. Its methods raise :class:`app.errors.RunError`."""

    async def fetch(self, key: str, path: Path) -> Fetched | None:
        """Copy an object to a file. None: it is not there."""
        ...

    async def keys(self, target: "Target") -> Sequence[str] | None:
        """Of all objects that lie there under names that a write to that target may use. None: the credentials may not
        list."""
        ...


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is on record, at the location of a write, of other attempts at its window and of other runs of it."""

    stale: tuple[str, ...] = ()
    """Keys that may be there and that the write does not overwrite: to be deleted once its own objects are visible."""
    replaces: bool = False
    """An earlier run of the window was completed. What has been overwritten of it cannot be had back, so a write that
    has begun to become visible goes on to its end, even when it is cancelled."""


class Fence(Protocol):
    """Whether this attempt may still change what others see: the run may be another worker's by now."""

    async def announce(self, location: str, keys: Sequence[str]) -> Earlier:
        """Renew the lease, and put on record what is about to become visible under ``keys`` at ``location``.

        :raises app.errors.LeaseLost: when this attempt may no longer commit.
        """
        ...

    async def confirm(self) -> None:
        """Renew the lease.

        :raises app.errors.LeaseLost: as above.
        """
        ...

    async def owns(self) -> bool:
        """Whether no other worker can have the run or its window yet, though it may have been cancelled: only then may
        what this attempt has made visible be taken back."""
        ...

    def finished(self, written: Written) -> None:
        """A write that was stopped has come to its end all the same, because it replaced what could not be had back:
        this is what lies there now."""
        ...

    def check(self) -> None:
        """To be called right before each request whose effect others see; it asks nobody, so it costs nothing.

        :raises app.errors.LeaseLost: when the last renewal is so long ago that another worker may have the run.
        """
        ...


class Unfenced:
    """A fence that lets everything pass, and knows of no earlier attempts."""

    async def announce(self, location: str, keys: Sequence[str]) -> Earlier:
        return Earlier()

    async def confirm(self) -> None:
        pass

    async def owns(self) -> bool:
        return True

    def finished(self, written: Written) -> None:
        pass

    def check(self) -> None:
        pass


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
    gently: bool = False
    """The destination has asked to slow down: send one thing at a time."""
    fence: Fence = field(default_factory=Unfenced, compare=False)
    """Asked right before anything becomes visible."""


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
    columns: ClassVar[Columns]
    """What it stores of each model, in order."""
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

    @classmethod  # noqa: B027  most have nothing to prepare
    def prepare(cls) -> None:
        """Do once in a process what takes long the first time, with anything that needs no config. It may be called
        again, and need not be called at all."""

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

    @classmethod
    def of(cls, settings: Mapping[str, Any], network: Network) -> Self:
        """From all settings of a run; those that the config has no place for are left aside.

        :raises pydantic.ValidationError: for settings that its rules would not have let pass.
        """
        fields = cls.config_model.by_key()
        return cls(cls.config_model(**{key: value for key, value in settings.items() if key in fields}), network)

    @abstractmethod
    async def write(self, batches: Batches, target: Target) -> Written:
        """Pull every batch and store it. An empty stream leaves nothing, and still needs the destination to be there.

        Nothing is visible before this returns; on an error, or when cancelled, it cleans up behind itself.

        :raises app.errors.Retryable: a later attempt may succeed.
        :raises app.errors.Terminal: it would not.
        """

    def first_keys(self, target: "Target") -> Sequence[str]:
        """What the first object of a write would be called, and its manifest; none where no files are stored."""
        return ()

    @property
    def location(self) -> str:
        """See :attr:`Written.location`."""
        return ""

    @property
    def max_file_bytes(self) -> int | None:
        """Bytes after which a file ends and the next one begins; None: there is one file, of any size."""
        return None

    async def discard(self, keys: Sequence[str], attempt: str | None = None) -> None:
        """Delete objects that a write of this destination has made visible. Only of use where files are stored.

        ``attempt``, the run's id and the epoch (``<id>/<epoch>``), or the id for all of a run's attempts (``<id>/``),
        spares what others have put in their place.

        :raises app.errors.RunError: as for :meth:`write`.
        """
        raise NotImplementedError(f"{self.name} stores no files")

    def stored(self) -> AbstractAsyncContextManager[Stored]:
        """For reading back. Only of use where files are stored.

        :raises app.errors.RunError: for settings with which no request can be made.
        """
        raise NotImplementedError(f"{self.name} stores no files")
