"""What people are told, and how often. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol, Self
from uuid import UUID


class Kind(StrEnum):
    RUN_FAILED = "run_failed"
    EXPORT_PAUSED = "export_paused"
    INTERVAL_OVERDUE = "interval_overdue"
    INTERVAL_MISSING = "interval_missing"


class Subject(Protocol):
    """The export that a notice is about."""

    @property
    def id(self) -> UUID: ...
    @property
    def project_id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def interval(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Notice:
    """``dedupe_key``: of what is told once only. ``data`` is JSON."""

    kind: Kind
    project_id: int
    export_id: UUID
    dedupe_key: str
    data: Mapping[str, Any]

    @classmethod
    def daily(cls, kind: Kind, export: Subject, now: datetime, **data: Any) -> Self:
        """Told once per export and day, in UTC (the contract's section 7)."""
        return cls(kind, export.project_id, export.id, daily_key(kind, export.id, now), _data(export, data))

    @classmethod
    def each(cls, kind: Kind, export: Subject, now: datetime, **data: Any) -> Self:
        """Told every time."""
        key = f"{kind}:{export.id}:{iso(now)}"
        return cls(kind, export.project_id, export.id, key, _data(export, data))


def daily_key(kind: Kind, export_id: object, now: datetime) -> str:
    return f"{kind}:{export_id}:{now.astimezone(UTC).date().isoformat()}"


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _data(export: Subject, data: Mapping[str, Any]) -> dict[str, Any]:
    return {"export_id": str(export.id), "export_name": export.name, "interval": export.interval, **data}
