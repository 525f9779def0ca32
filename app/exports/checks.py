"""Checks of single fields, against what is stored and what the project has (the contract's sections 4.2 and 4.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.destinations import DESTINATIONS
from app.destinations.config import check_sent, merge_config
from app.destinations.proposal import Linked, Proposal, refuse
from app.errors import ValidationFailed
from app.exports.facts import Facts
from app.models import Interval, Model
from app.query.filters import conditions
from app.tenants.flags import Flag

GATED_MODELS = {Model.SESSIONS: Flag.SESSIONS, Model.HOGQL: Flag.HOGQL}
HIGH_FREQUENCY = (Interval.EVERY_5_MINUTES, Interval.EVERY_15_MINUTES)

ANY_TIME = datetime(2020, 1, 1, tzinfo=UTC)
"""Relative dates count from the end of a window, and there is none yet."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A destination as it is to be stored."""

    type: str
    config: dict[str, Any]
    integration: Linked | None


def check_model(model: Model, facts: Facts, project_id: int) -> Model:
    """:raises ValidationFailed: when an update would change it, or this version does not export it.
    :raises PermissionDenied: where its flag is off.
    """
    if model in GATED_MODELS:
        facts.access.require(GATED_MODELS[model], project_id)
    if facts.before is not None and model != facts.before.model:
        raise ValidationFailed("Changing models is not supported. Create a new batch export instead.", attr="model")
    if model is Model.HOGQL:
        # Better refused than stored: its every run would fail.
        raise ValidationFailed("The 'hogql' model is not supported by this version yet", attr="model")
    return model


def check_interval(interval: Interval, facts: Facts, project_id: int) -> Interval:
    """:raises PermissionDenied: where the flag for short ones is off."""
    if interval in HIGH_FREQUENCY:
        facts.access.require(Flag.HIGH_FREQUENCY, project_id)
    return interval


def check_filters(filters: Any) -> list[Any] | None:
    """:raises ValidationFailed: for what are no filters (section 9.6)."""
    conditions(filters, ANY_TIME)
    return filters  # type: ignore[no-any-return]


def check_columns(columns: Any, field: str) -> list[str] | None:
    """:raises ValidationFailed: for anything but names of columns, at least one."""
    if columns is None:
        return None
    if not isinstance(columns, list):
        raise ValidationFailed(
            f'Expected a list of items but got type "{type(columns).__name__}".', code="not_a_list", attr=field
        )
    if not columns:
        raise ValidationFailed("This list may not be empty.", code="empty", attr=field)
    for number, column in enumerate(columns):
        attr = f"{field}__{number}"
        if column is None:
            raise ValidationFailed("This field may not be null.", code="null", attr=attr)
        if not isinstance(column, str):
            raise ValidationFailed("Not a valid string.", attr=attr)
        if not column.strip():
            raise ValidationFailed("This field may not be blank.", code="blank", attr=attr)
    return columns


def settle_destination(
    name: str,
    sent: Mapping[str, Any],
    integration: tuple[str, int | None] | None,
    facts: Facts,
    project_id: int,
    *,
    partial: bool,
    overlaid: bool,
) -> Settled:
    """The destination to store; on an update, of the stored type if ``name`` is empty.

    ``integration`` is the key it was sent under and its id, None if it was not sent. ``partial``: required keys may be
    left out, for they are stored. ``overlaid``: they may, because what is stored is laid under what was sent.

    :raises PermissionDenied: where the type's flag is off.
    :raises ValidationFailed: for an unknown integration, a broken rule of configs, a changed type, or a broken rule of
        the destination; the first of these.
    """
    before = facts.before
    stored_type = before.destination_type if before is not None else name
    stored = before.config if before is not None else None
    destination = DESTINATIONS[name or stored_type]
    if destination.gate is not None:
        facts.access.require(Flag(destination.gate.flag), project_id)
    linked = _find(integration, facts, project_id)
    known = {key: value for key, value in (stored or {}).items() if key in destination.config_model.by_key()}
    checked = check_sent(destination, {**known, **sent} if overlaid else sent, partial=partial)
    if destination.name != stored_type:
        raise refuse(
            f"Cannot change destination type from '{stored_type}' to '{destination.name}'. Delete this batch export "
            "and create a new one with the new destination type."
        )
    proposal = Proposal(
        config=checked if overlaid else merge_config(stored or {}, checked),
        names=facts.names,
        stored=stored,
        integration=linked,
        was_linked=before is not None and before.integration_id is not None,
        find=lambda number: facts.integration(project_id, number),
    )
    return Settled(destination.name, destination.validate(proposal), linked)


def _find(sent: tuple[str, int | None] | None, facts: Facts, project_id: int) -> Linked | None:
    """The integration that the export is to have."""
    if sent is None:
        stored = facts.before.integration_id if facts.before is not None else None
        return facts.integration(project_id, stored) if stored is not None else None
    key, number = sent
    if number is None:
        return None
    if (linked := facts.integration(project_id, number)) is None:
        raise ValidationFailed(
            f'Invalid pk "{number}" - object does not exist.', code="does_not_exist", attr=f"destination__{key}"
        )
    return linked
