"""What a destination's rules are told, and what they say about integrations.

An integration holds the credentials of one kind of destination, kept once and used by many exports. Where a type takes
one, its settings stand over the config's keys, both when a config is checked and when a run uses it (the contract's
section 11). Credentials in the config itself are taken too, as they were before there were integrations.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.errors import ValidationFailed
from app.network import Names

CONFIG_ATTR: Final = "destination__non_field_errors"


@dataclass(frozen=True, slots=True)
class Linked:
    """An integration, as destinations see it."""

    id: int
    kind: str
    config: Mapping[str, Any] = field(repr=False)
    secrets: Mapping[str, Any] = field(repr=False)

    def settings(self) -> dict[str, Any]:
        return {key: value for key, value in {**self.config, **self.secrets}.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Takes:
    """The kind of integration that a type of destination takes, and what it says of others."""

    kind: str
    wrong_kind: str
    """May name the ``{kind}`` that it got."""
    required: str
    """Where neither an integration nor credentials are given."""
    sticky: str | None = None
    """Where an export would lose the one it has; None: it may, as long as its config has credentials."""
    needs: Sequence[str] = ()
    """Settings without which an integration of the kind is of no use."""
    invalid: str = ""
    """Where one of ``needs``, named ``{key}``, is missing."""


def _nobody(integration_id: int) -> Linked | None:
    return None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A whole, well-typed config that somebody wants to store, and what it is checked against."""

    config: Mapping[str, Any]
    """What was sent, merged over what is stored."""
    names: Names
    """Which hosts may be connected to."""
    stored: Mapping[str, Any] | None = None
    """The config before the update; None on create."""
    integration: Linked | None = None
    """The one that the export will have."""
    was_linked: bool = False
    """It had one before the update."""
    find: Callable[[int], Linked | None] = _nobody
    """Another integration of the same project, for configs that name some."""

    @property
    def settings(self) -> dict[str, Any]:
        """What a run would use."""
        return overlay(self.config, self.integration)


def overlay(config: Mapping[str, Any], integration: Linked | None) -> dict[str, Any]:
    return {**config, **(integration.settings() if integration is not None else {})}


def refuse(detail: str) -> ValidationFailed:
    """A broken rule of a destination, as the API answers it."""
    return ValidationFailed(detail, attr="destination")


def check_integration(name: str, takes: Takes | None, inline: Sequence[str], proposal: Proposal) -> None:
    """The rules on integrations that all types share.

    ``inline`` are the config keys that an export without one needs; none at all: it needs an integration.

    :raises ValidationFailed: for the first rule that is broken.
    """
    integration = proposal.integration
    if takes is None:
        if integration is not None:
            raise refuse(f"{name} destinations do not support integration-based credentials.")
        return
    if integration is not None:
        if integration.kind != takes.kind:
            raise refuse(takes.wrong_kind.format(kind=integration.kind))
        given = integration.settings()
        for key in takes.needs:
            if not given.get(key):
                raise refuse(takes.invalid.format(key=key))
        return
    if proposal.was_linked and takes.sticky is not None:
        raise refuse(takes.sticky)
    missing = [key for key in inline if proposal.config.get(key) is None]
    if len(missing) == len(inline):
        raise refuse(takes.required)
    if missing:
        raise ValidationFailed(f"Configuration missing required field: '{missing[0]}'", attr=CONFIG_ATTR)
