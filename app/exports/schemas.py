"""Exports, as the API takes and shows them (the contract's sections 3.1 and 3.2)."""

from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.destinations import DESTINATIONS
from app.exports.checks import Before, check_model, settle_config
from app.http.text import RequestModel, storable
from app.http.validation import in_order
from app.models import Export, Interval, Model
from app.runs.schemas import RunRead

EXAMPLE: dict[str, JsonValue] = {
    "name": "Events to S3",
    "interval": "hour",
    "destination": {
        "type": "S3",
        "config": {
            "bucket_name": "exports",
            "region": "us-east-1",
            "prefix": "events/{year}/{month}/{day}",
            "aws_access_key_id": "…",
            "aws_secret_access_key": "…",
            "file_format": "Parquet",
            "compression": "zstd",
        },
    },
}


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
Whole = Annotated[int, Field(strict=True)]
Moment = Annotated[datetime, BeforeValidator(_text_only), AfterValidator(_in_utc)]
DestinationType = Annotated[str, _choice(lambda: DESTINATIONS), Field(json_schema_extra={"enum": [*DESTINATIONS]})]
Timezone = Annotated[str, _choice(_timezones)]


class DestinationWrite(RequestModel):
    type: DestinationType
    config: Annotated[dict[str, Any], AfterValidator(storable)]
    integration: Any = Field(None, json_schema_extra={"type": ["integer", "null"]})
    integration_id: Any = Field(
        None, json_schema_extra={"type": ["integer", "null"]}, description="The same as `integration`."
    )

    partial: ClassVar[bool] = False
    """Required keys of the config may be left out, for they are stored."""

    @field_validator("integration", "integration_id")
    @classmethod
    def _no_integration(cls, value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, str) and value.isdigit())):
            raise PydanticCustomError(
                "incorrect_type", f"Incorrect type. Expected pk value, received {type(value).__name__}."
            )
        raise PydanticCustomError("does_not_exist", f'Invalid pk "{value}" - object does not exist.')

    @model_validator(mode="after")
    def _settle(self, info: ValidationInfo) -> Self:
        """The config becomes the one to store."""
        before: Before | None = info.context
        with in_order():
            self.config = settle_config(self.type, self.config, before, partial=self.partial)
        return self


class DestinationPatch(DestinationWrite):
    """A missing type is unchanged, a missing config changes nothing (section 4.2)."""

    type: DestinationType = Field(default_factory=str)
    config: Annotated[dict[str, Any], AfterValidator(storable)] = Field(default_factory=dict)

    partial: ClassVar[bool] = True


class ExportWrite(RequestModel):
    """A create, and a PUT. Which of the optional keys were sent decides what a PUT changes."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    name: Name
    model: Model | None = Field(Model.EVENTS, description="Cannot be changed later. Null means events.")
    destination: DestinationWrite
    interval: Interval
    paused: Flag = False
    last_paused_at: Moment | None = None
    start_at: Moment | None = Field(None, description="No scheduled run before it.")
    end_at: Moment | None = Field(None, description="No scheduled run after it.")
    hogql_query: Text | None = None
    filters: Annotated[Any, AfterValidator(storable)] = None
    timezone: Timezone | None = Field("UTC", description="Of daily and weekly windows.")
    offset_day: Annotated[Whole, Field(ge=0, le=6)] | None = Field(None, description="Weekly: 0 is Sunday.")
    offset_hour: Annotated[Whole, Field(ge=0, le=23)] | None = Field(None, description="Daily and weekly.")
    team_id: Any = Field(
        None,
        json_schema_extra={"type": ["integer", "null"]},
        description="The project of a new export, where the path names an organization; ignored elsewhere.",
    )

    @field_validator("model")
    @classmethod
    def _same_model(cls, value: Model | None, info: ValidationInfo) -> Model:
        before: Before | None = info.context
        with in_order():
            return check_model(value or Model.EVENTS, before)


class ExportPatch(ExportWrite):
    """Whatever is sent is changed."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Events, every day", "interval": "day"}]})

    # Declared again only to be optional; a field keeps its place in the order of errors. The defaults are made by
    # factories to keep them out of the documentation: what is not sent stays as it is.
    name: Name = Field(default_factory=str)
    destination: DestinationPatch = Field(default_factory=DestinationPatch.model_construct)
    interval: Interval = Field(default_factory=lambda: Interval.HOUR)


class DestinationRead(BaseModel):
    type: str
    config: dict[str, Any] = Field(description="Without secrets.")
    integration: int | None


class ExportRead(BaseModel):
    id: UUID
    team_id: int
    name: str
    model: Model
    destination: DestinationRead
    interval: Interval
    paused: bool
    created_at: datetime
    last_updated_at: datetime
    last_paused_at: datetime | None
    start_at: datetime | None
    end_at: datetime | None
    latest_runs: list[RunRead]
    hogql_query: str | None
    hogql_modifiers: dict[str, Any] | None
    primary_key: list[str] | None
    version_key: list[str] | None
    incremental_mode: str
    # Named so by the contract; pydantic's own method of that name is not used.
    schema_: dict[str, Any] | None = Field(serialization_alias="schema")
    filters: list[Any] | None
    timezone: str
    offset_day: int | None
    offset_hour: int | None

    @classmethod
    def of(cls, export: Export, config: dict[str, Any], runs: list[RunRead]) -> Self:
        """``config`` is the stored document without its secrets."""
        day, hour = offsets_of(export)
        return cls(
            id=export.id,
            team_id=export.project_id,
            name=export.name,
            model=Model(export.model),
            destination=DestinationRead(type=export.destination_type, config=config, integration=export.integration_id),
            interval=Interval(export.interval),
            paused=export.paused,
            created_at=export.created_at,
            last_updated_at=export.last_updated_at,
            last_paused_at=export.last_paused_at,
            start_at=export.start_at,
            end_at=export.end_at,
            latest_runs=runs,
            hogql_query=export.hogql_query,
            hogql_modifiers=export.hogql_modifiers,
            primary_key=export.primary_key,
            version_key=export.version_key,
            incremental_mode=export.incremental_mode,
            schema_=export.schema,
            filters=export.filters,
            timezone=export.timezone,
            offset_day=day,
            offset_hour=hour,
        )


def offsets_of(export: Export) -> tuple[int | None, int | None]:
    """``offset_day`` and ``offset_hour`` as they are read back (section 5.2)."""
    hours = (export.interval_offset or 0) // 3600
    if export.interval == Interval.WEEK:
        return hours // 24, hours % 24
    if export.interval == Interval.DAY:
        return None, hours % 24
    return None, None


class Paused(BaseModel):
    paused: bool
