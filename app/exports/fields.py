"""The types of an export's fields: what they take, in which words they refuse the rest."""

from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, StringConstraints
from pydantic_core import PydanticCustomError

from app.destinations import DESTINATIONS
from app.http.text import storable

NAMES_SCHEMA: dict[str, JsonValue] = {"type": ["array", "null"], "items": {"type": "string"}, "minItems": 1}
INCREMENTAL_MODES = ("APPEND", "MERGE")


def _choice(choices: Any) -> BeforeValidator:
    def check(value: Any) -> Any:
        if value is not None and not (isinstance(value, str) and value in choices()):
            raise PydanticCustomError("invalid_choice", "Not a valid choice.")
        return value

    return BeforeValidator(check)


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones() - {"localtime", "posixrules", "Factory"})


def _filled(value: str) -> str:
    if not value:
        raise PydanticCustomError("blank", "Blank.")
    return value


def _text_only(value: Any) -> Any:
    # Pydantic would read numbers as seconds since 1970, and "123" too.
    if value is not None and not (isinstance(value, str) and "-" in value[1:]):
        raise PydanticCustomError("datetime_type", "Not a datetime.")
    return value


def _in_utc(value: datetime) -> datetime:
    """Without a zone a moment is UTC (section 1.1)."""
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("datetime_type", "Not a datetime.") from None


Name = Annotated[
    str,
    BeforeValidator(storable),
    StringConstraints(strip_whitespace=True),
    AfterValidator(_filled),
    Field(json_schema_extra={"pattern": r"\S"}),
]
Text = Annotated[str, BeforeValidator(storable)]
Flag = Annotated[bool, Field(strict=True)]
Moment = Annotated[datetime, BeforeValidator(_text_only), AfterValidator(_in_utc)]
Document = Annotated[dict[str, Any], AfterValidator(storable)]
IncrementalMode = Annotated[
    str, _choice(lambda: INCREMENTAL_MODES), Field(json_schema_extra={"enum": [*INCREMENTAL_MODES]})
]
DestinationType = Annotated[str, _choice(lambda: DESTINATIONS), Field(json_schema_extra={"enum": [*DESTINATIONS]})]
Timezone = Annotated[str, _choice(_timezones)]
