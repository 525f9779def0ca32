"""Feature flags of projects: names, defaults, and what is said where one is off (the contract's section 13)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from app.errors import ApiError, PermissionDenied, ValidationFailed


class Flag(StrEnum):
    HIGH_FREQUENCY = "high-frequency-batch-exports"
    """Intervals of less than an hour."""
    HOGQL = "hogql-batch-exports"
    """The model ``hogql``."""
    EARLIEST_BACKFILL = "batch-export-earliest-backfill"
    """Backfills from the beginning of time."""
    WORKFLOWS = "backfill-workflows-destination"
    """The destination ``Workflows``."""
    DATABRICKS = "databricks-batch-exports"
    """The destination ``Databricks``."""
    SESSIONS = "sessions-batch-exports"
    """The model ``sessions``."""


OFF_UNLESS_SET: Final = frozenset({Flag.HOGQL})
ALWAYS_OFF: Final = frozenset({Flag.WORKFLOWS})
"""There are no workflows in this service, whatever a project asks for."""

REFUSALS: Final[Mapping[Flag, tuple[type[ApiError], str]]] = {
    Flag.HIGH_FREQUENCY: (PermissionDenied, "Higher frequency batch exports are not enabled for this team."),
    Flag.HOGQL: (PermissionDenied, "HogQL batch exports are not enabled for this team."),
    Flag.EARLIEST_BACKFILL: (
        ValidationFailed,
        "Backfilling from the beginning of time is not enabled for this team.",
    ),
    Flag.WORKFLOWS: (PermissionDenied, "Backfilling Workflows is not enabled for this team."),
    Flag.DATABRICKS: (PermissionDenied, "The Databricks destination is not enabled for this team."),
    Flag.SESSIONS: (PermissionDenied, "Sessions batch exports are not enabled for this team."),
}


def is_on(flags: Mapping[str, bool], flag: Flag) -> bool:
    """``flags`` are those that the project has set; one that it has not set has its default."""
    return flag not in ALWAYS_OFF and flags.get(flag, flag not in OFF_UNLESS_SET)


def refusal(flag: Flag) -> ApiError:
    """What to raise where the flag is off."""
    kind, detail = REFUSALS[flag]
    return kind(detail)
