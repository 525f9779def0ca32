"""Checks of single fields that an update holds against what is stored (the contract's sections 4.2 and 4.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.destinations import DESTINATIONS
from app.destinations.base import refuse
from app.destinations.config import check_sent, settle
from app.errors import ValidationFailed
from app.models import Model


@dataclass(frozen=True, slots=True)
class Before:
    """What an update starts from, as far as the checks of its fields want to know it."""

    model: str
    destination_type: str
    config: Mapping[str, Any]


def check_model(model: Model, before: Before | None) -> Model:
    """:raises ValidationFailed: when an update would change it."""
    if before is not None and model != before.model:
        raise ValidationFailed("Changing models is not supported. Create a new batch export instead.", attr="model")
    return model


def settle_config(name: str, sent: Mapping[str, Any], before: Before | None, *, partial: bool) -> dict[str, Any]:
    """The config to store for a destination of type ``name``; on an update, of the stored type if it is empty.

    :raises ValidationFailed: for a broken rule of configs, a changed type, or a broken rule of the destination.
    """
    stored_type = before.destination_type if before is not None else name
    destination = DESTINATIONS[name or stored_type]
    checked = check_sent(destination, sent, partial=partial)
    if destination.name != stored_type:
        raise refuse(
            f"Cannot change destination type from '{stored_type}' to '{destination.name}'. Delete this batch export "
            "and create a new one with the new destination type."
        )
    return settle(destination, checked, before.config if before is not None else None)
