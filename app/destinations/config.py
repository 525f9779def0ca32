"""The checks that every destination's config passes, in their order and with their texts (the contract's section 4.3).

They are driven by the fields of a destination's config model, so a new destination gets them for nothing.
"""

import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin

from pydantic_core import PydanticUndefined

from app.destinations.base import Destination, DestinationConfig
from app.errors import ValidationFailed

CONFIG_ATTR = "destination__non_field_errors"

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


def check_config(
    destination: type[Destination], sent: Mapping[str, Any], *, stored: Mapping[str, Any] | None, partial: bool
) -> dict[str, Any]:
    """The document to store: what was sent, checked, converted, merged over what is stored, and held to the
    destination's own rules.

    Only sent keys are checked for being known and well-typed, so that what an older version stored never breaks an
    update. ``partial`` leaves required keys to what is stored.

    :raises ValidationFailed: for the first check that fails.
    """
    fields = destination.config_model.model_fields
    unknown = sorted(key for key in sent if key not in fields and key not in TOLERATED)
    if unknown:
        names = ", ".join(f"'{key}'" for key in unknown)
        raise ValidationFailed(f"Configuration has unknown field/s: {names}", attr=CONFIG_ATTR)
    if not partial:
        for key, field in fields.items():
            if field.is_required() and key not in sent:
                raise ValidationFailed(f"Configuration missing required field: '{key}'", attr=CONFIG_ATTR)
    converted = {
        key: _convert(value, _plain_type(fields[key].annotation) if key in fields else None)
        for key, value in sent.items()
    }
    merged = merge_config(stored or {}, converted)
    _check_whole(destination.config_model, merged)
    return destination.validate(merged, stored)


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


def _plain_type(annotation: Any) -> type | None:
    """The type that is checked; None for optional, list, union and enum fields, which are not."""
    if get_origin(annotation) in (Union, types.UnionType):
        return None
    return annotation if annotation in (str, int, bool) else None


def _convert(value: Any, expected: type | None) -> Any:
    if expected is None or isinstance(value, expected):
        return value
    if expected is bool and isinstance(value, str) and value.lower() in TRUE_TEXTS | FALSE_TEXTS:
        return value.lower() in TRUE_TEXTS
    if expected is int and isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
    raise ValidationFailed(
        f"Configuration has invalid type: got '{type(value).__name__}', expected '{expected.__name__}'",
        attr=CONFIG_ATTR,
    )


def _check_whole(model: type[DestinationConfig], document: Mapping[str, Any]) -> None:
    """Optional and list fields, which the contract leaves unchecked, must still be what a run can use."""
    for key, field in model.model_fields.items():
        value = document.get(key, PydanticUndefined)
        if value is PydanticUndefined or _plain_type(field.annotation) is not None:
            continue
        if not any(_fits(value, option) for option in _options(field.annotation)):
            raise ValidationFailed(
                f"Configuration has invalid type: got '{type(value).__name__}', expected '{_name(field.annotation)}'",
                attr=CONFIG_ATTR,
            )


def _options(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _fits(value: Any, option: Any) -> bool:
    if option is type(None):
        return value is None
    if get_origin(option) is list:
        return isinstance(value, list) and all(_fits(item, get_args(option)[0]) for item in value)
    if option is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return not isinstance(option, type) or isinstance(value, option)


def _name(annotation: Any) -> str:
    names = [getattr(option, "__name__", str(option)) for option in _options(annotation)]
    return " | ".join("None" if name == "NoneType" else name for name in names)
