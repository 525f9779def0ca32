"""How destinations are documented: one schema per type, told apart by ``type``, made from the registry.

Bodies are checked by other means (the contract has its own order and texts); these models are never validated with.
"""

from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

from app.destinations import DESTINATIONS
from app.destinations.base import Destination
from app.destinations.files import FORMAT_COMPRESSIONS

INTEGRATION = "The id of an integration of the project, instead of credentials in the config."


@cache
def written() -> CoreSchema:
    """Of a destination in a create or a PUT."""
    return _told_apart(_model(one, f"{one.name}Destination", _config(one), required=True) for one in _all())


@cache
def patched() -> CoreSchema:
    """Of a destination in a PATCH: nothing is required, a missing type is unchanged."""
    models = [_model(one, f"{one.name}DestinationPatch", _config(one, optional=True), required=False) for one in _all()]
    return TypeAdapter[Any](_union(models)).core_schema


@cache
def shown() -> CoreSchema:
    """Of a destination in a response: what was stored, without secrets."""
    return _told_apart(
        _created(
            f"{one.name}DestinationRead",
            type=(Literal[one.name], ...),
            config=(_config(one, optional=True, secrets=False), ...),
            integration=(int | None, ...),
        )
        for one in _all()
    )


def _all() -> Iterable[type[Destination]]:
    return DESTINATIONS.values()


def _told_apart(models: Iterable[type[BaseModel]]) -> CoreSchema:
    return TypeAdapter[Any](_annotated(_union(models))).core_schema


def _annotated(union: Any) -> Any:
    return Annotated[union, Field(discriminator="type")]


def _union(models: Iterable[type[BaseModel]]) -> Any:
    return Union[tuple(models)]  # noqa: UP007  made from values


def _model(destination: type[Destination], name: str, config: type[BaseModel], *, required: bool) -> type[BaseModel]:
    fields: dict[str, Any] = {
        "type": (Literal[destination.name], ... if required else Field(default_factory=str)),
        "config": (config, ... if required else Field(default_factory=dict)),
        "integration": (int | None, Field(None, description=INTEGRATION)),
        "integration_id": (int | None, Field(None, description="The same as `integration`.")),
    }
    return _created(name, **fields)


def _created(name: str, **fields: Any) -> type[BaseModel]:
    return create_model(name, **fields)


def _config(destination: type[Destination], *, optional: bool = False, secrets: bool = True) -> type[BaseModel]:
    """The config's fields; ``optional`` ones may be missing, and are not filled in."""
    name = f"{destination.name}Config" + ("" if secrets else "Read") + ("Patch" if optional and secrets else "")
    fields: dict[str, Any] = {}
    for key, field in destination.config_model.by_key().items():
        if key in destination.secrets and not secrets:
            continue
        # Some names are pydantic's own; those fields have another one, and the right one for an alias.
        name_ = f"{key}_" if field.alias else key
        fields[name_] = (
            _annotation(destination, key, field),
            _field(field, secret=key in destination.secrets, optional=optional),
        )
    # A response may hold what an older version stored.
    return create_model(name, __config__=ConfigDict(extra="forbid" if secrets else "allow"), **fields)


def _annotation(destination: type[Destination], key: str, field: FieldInfo) -> Any:
    """A field's type; where only some values are taken, those."""
    match key:
        case "file_format" if destination.formats:
            return Literal[tuple(destination.formats)]
        case "compression" if destination.formats:
            codecs = dict.fromkeys(codec for name in destination.formats for codec in FORMAT_COMPRESSIONS[name])
            return Literal[tuple(codecs)] | None
    return field.annotation


def _field(field: FieldInfo, *, secret: bool, optional: bool) -> Any:
    extra: dict[str, Any] = dict(field.json_schema_extra) if isinstance(field.json_schema_extra, dict) else {}
    if secret:
        extra |= {"format": "password"}
    if optional:
        return Field(
            default_factory=lambda: None, alias=field.alias, description=field.description, json_schema_extra=extra
        )
    default = ... if field.is_required() else field.default
    return Field(default, alias=field.alias, description=field.description, json_schema_extra=extra)
