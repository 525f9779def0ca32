"""Checks that every destination's config passes (the contract's sections 3.2, 4.2 and 4.3)."""

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from pydantic import Field

from app.destinations import DESTINATIONS
from app.destinations.base import DestinationConfig
from app.destinations.config import TOLERATED, check_sent, drop_secrets, merge_config
from app.destinations.noop import NoOp
from app.destinations.proposal import CONFIG_ATTR
from app.errors import ValidationFailed


class Config(DestinationConfig):
    host: str
    port: int = 1
    tls: bool = False
    codec: str | None = None
    size: int | None = None
    names: list[str] = Field(default_factory=list)
    nested: dict[str, Any] = Field(default_factory=dict)


class Example(NoOp):
    name: ClassVar[str] = "Example"
    config_model: ClassVar[type[DestinationConfig]] = Config
    secrets: ClassVar[frozenset[str]] = frozenset({"password", "key"})
    formats: ClassVar[Sequence[str]] = ()


def sent(config: dict[str, Any], *, partial: bool = True) -> dict[str, Any]:
    return check_sent(Example, config, partial=partial)


@pytest.mark.parametrize(
    ("config", "detail"),
    [
        ({"b": 1, "a": 2, "host": 5}, "Configuration has unknown field/s: 'a', 'b'"),
        ({"port": "x"}, "Configuration missing required field: 'host'"),
        ({"host": 5}, "Configuration has invalid type: got 'int', expected 'str'"),
        ({"host": None}, "Configuration has invalid type: got 'NoneType', expected 'str'"),
        ({"host": "h", "port": "5x"}, "Configuration has invalid type: got 'str', expected 'int'"),
        ({"host": "h", "port": "9" * 5000}, "Configuration has invalid type: got 'str', expected 'int'"),
        ({"host": "h", "port": 1.5}, "Configuration has invalid type: got 'float', expected 'int'"),
        ({"host": "h", "tls": "maybe"}, "Configuration has invalid type: got 'str', expected 'bool'"),
        ({"host": "h", "tls": 1}, "Configuration has invalid type: got 'int', expected 'bool'"),
        ({"host": "h", "codec": 5}, "Configuration has invalid type: got 'int', expected 'str | None'"),
        ({"host": "h", "size": True}, "Configuration has invalid type: got 'bool', expected 'int | None'"),
        ({"host": "h", "names": ["a", 1]}, "Configuration has invalid type: got 'list', expected 'list[str]'"),
        (
            {"host": "h", "include_events": "a"},
            "Configuration has invalid type: got 'str', expected 'list[str] | None'",
        ),
    ],
)
def test_the_first_check_that_fails_is_told(config: dict[str, Any], detail: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        sent(config, partial=False)
    assert (caught.value.detail, caught.value.attr) == (detail, CONFIG_ATTR)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"port": "15", "size": "-3"}, {"port": 15, "size": -3}),
        ({"tls": "True"}, {"tls": True}),
        ({"tls": "no"}, {"tls": False}),
        ({"port": True}, {"port": True}),
        ({"codec": None, "include_events": None, "exclude_events": ["a"]}, None),
        ({"codec": "true", "names": ["1"]}, None),
        ({name: {"any": 1} for name in TOLERATED}, None),
    ],
)
def test_values_are_kept_in_the_types_of_their_fields(given: dict[str, Any], kept: dict[str, Any] | None) -> None:
    assert sent(given) == (given if kept is None else kept)


def test_an_update_is_merged_over_what_is_stored_at_every_depth() -> None:
    stored = {"a": {"x": 1, "y": {"z": 2}}, "b": 1, "c": {"d": 1}, "e": 1}
    update = {"a": {"y": {"w": 3}}, "b": {"n": 1}, "c": None, "f": {}}
    merged = merge_config(stored, update)
    assert merged == {"a": {"x": 1, "y": {"z": 2, "w": 3}}, "b": {"n": 1}, "c": None, "e": 1, "f": {}}
    assert merge_config(merged, {"a": {}}) == merged
    assert stored["a"] == {"x": 1, "y": {"z": 2}}


def test_secrets_are_dropped_at_every_depth() -> None:
    document = {"host": "h", "password": "p", "nested": {"key": "k", "list": [{"password": {"a": 1}, "b": [1]}]}}
    assert drop_secrets(Example, document) == {"host": "h", "nested": {"list": [{"b": [1]}]}}


@pytest.mark.parametrize("name", DESTINATIONS)
def test_every_destination_names_fields_that_it_has(name: str) -> None:
    destination = DESTINATIONS[name]
    assert destination.name == name
    # A Redshift export has credentials for its bucket too, one level down.
    nested = {"aws_access_key_id", "aws_secret_access_key"} if name == "Redshift" else set()
    assert destination.secrets - nested <= set(destination.config_model.by_key())
