"""The checks that every destination's config passes, in their order and with their texts (the contract's section 4.3).

They are driven by the fields of a destination's config model, so a new destination gets them for nothing.
"""

import re
import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin

from app.destinations.base import Destination
from app.destinations.proposal import CONFIG_ATTR
from app.errors import ValidationFailed

TOLERATED = frozenset(
    {
        "backfill_details",
        "backfill_id",
        "batch_export_id",
        "batch_export_model",
        "batch_export_schema",
        "data_interval_end",
        "data_interval_start",
        "destination_default_fields",
        "integration_id",
        "interval",
        "is_backfill",
        "is_earliest_backfill",
        "run_id",
        "stage_folder",
        "team_id",
    }
)
"""Keys that mean nothing here, but that clients may send because other implementations know them."""

TRUE_TEXTS = frozenset({"true", "1", "yes", "on", "t", "y"})
FALSE_TEXTS = frozenset({"false", "0", "no", "off", "f", "n"})
INTEGER = re.compile(r"\s*[+-]?\d{1,19}\s*", re.ASCII)


def check_sent(destination: type[Destination], sent: Mapping[str, Any], *, partial: bool) -> dict[str, Any]:
    """What was sent, with its values converted to the types of their fields.

    Only sent keys are checked for being known and well-typed, so that what an older version stored never breaks an
    update. ``partial`` leaves required keys to what is stored.

    :raises ValidationFailed: for the first check that fails.
    """
    fields = destination.config_model.by_key()
    unknown = sorted(key for key in sent if key not in fields and key not in TOLERATED)
    if unknown:
        names = ", ".join(f"'{key}'" for key in unknown)
        raise ValidationFailed(f"Configuration has unknown field/s: {names}", attr=CONFIG_ATTR)
    if not partial:
        for key, field in fields.items():
            if field.is_required() and key not in sent:
                raise ValidationFailed(f"Configuration missing required field: '{key}'", attr=CONFIG_ATTR)
    return {key: _convert(value, fields[key].annotation) if key in fields else value for key, value in sent.items()}


def merge_config(stored: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """Objects are merged key by key at every depth; anything else replaces what was there (section 4.2)."""
    merged = dict(stored)
    for key, value in update.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = merge_config(old, value) if both else value  # type: ignore[arg-type]
    return merged


def drop_secrets(destination: type[Destination], document: Any) -> Any:
    """The document without the destination's secret keys, at any depth."""
    match document:
        case dict():
            return {
                key: drop_secrets(destination, value)
                for key, value in document.items()
                if key not in destination.secrets
            }
        case list():
            return [drop_secrets(destination, item) for item in document]
        case _:
            return document


def _convert(value: Any, annotation: Any) -> Any:
    """The contract checks plain types only. Optional and list fields are held to theirs too: a run must be able to use
    what is stored."""
    options = _options(annotation)
    # A bool passes as an int where the type is plain (section 4.3).
    if any(_fits(value, option) for option in options) or (annotation is int and isinstance(value, bool)):
        return value
    if bool in options and isinstance(value, str) and value.lower() in TRUE_TEXTS | FALSE_TEXTS:
        return value.lower() in TRUE_TEXTS
    if int in options and isinstance(value, str) and INTEGER.fullmatch(value):
        return int(value)
    raise ValidationFailed(
        f"Configuration has invalid type: got '{type(value).__name__}', expected '{_name(annotation)}'",
        attr=CONFIG_ATTR,
    )


def _options(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _fits(value: Any, option: Any) -> bool:
    if option is type(None):
        return value is None
    if get_origin(option) is list:
        return isinstance(value, list) and all(_fits(item, get_args(option)[0]) for item in value)
    if get_origin(option) is dict:
        return isinstance(value, dict)
    if option is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return not isinstance(option, type) or isinstance(value, option)


def _name(annotation: Any) -> str:
    names = {type(None): "None", str: "str", int: "int", bool: "bool"}
    return " | ".join(names.get(option, str(option)) for option in _options(annotation))
