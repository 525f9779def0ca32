"""Exports, as the API takes and shows them (the contract's sections 3.1 and 3.2)."""

from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Self
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from app.destinations import DESTINATIONS
from app.http.text import RequestModel
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


def _choice(value: str, choices: Any) -> str:
    if value not in choices:
        raise PydanticCustomError("invalid_choice", "Not a valid choice.")
    return value


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones() - {"localtime", "posixrules", "Factory"})


def _filled(value: str) -> str:
    if not value:
        raise PydanticCustomError("blank", "Blank.")
    return value


def _in_utc(value: Any) -> Any:
    """A space may stand for the T, and without a zone a moment is UTC (section 1.1)."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def _text_only(value: Any) -> Any:
    # Pydantic would read numbers as seconds since 1970, and "123" too.
    if value is not None and not (isinstance(value, str) and "-" in value[1:]):
        raise PydanticCustomError("datetime_type", "Not a datetime.")
    return value


Name = Annotated[str, AfterValidator(_filled)]
Moment = Annotated[datetime, BeforeValidator(_text_only), AfterValidator(_in_utc)]
DestinationType = Annotated[
    str, AfterValidator(lambda value: _choice(value, DESTINATIONS)), Field(json_schema_extra={"enum": [*DESTINATIONS]})
]
Timezone = Annotated[str, AfterValidator(lambda value: _choice(value, _timezones()))]


class DestinationWrite(RequestModel):
    type: DestinationType
    config: dict[str, Any]
    integration: int | None = None
    integration_id: int | None = Field(None, description="The same as `integration`.")

    @model_validator(mode="after")
    def _no_integration(self) -> Self:
        given = self.integration if self.integration is not None else self.integration_id
        if given is not None:
            raise PydanticCustomError("does_not_exist", f'Invalid pk "{given}" - object does not exist.')
        return self


class DestinationPatch(DestinationWrite):
    """A missing type is unchanged, a missing config changes nothing (section 4.2)."""

    type: DestinationType = ""
    config: dict[str, Any] = Field(default_factory=dict)


class ExportFields(RequestModel):
    """What may be left out on every write. Which keys were sent decides what is changed."""

    model: Model = Model.EVENTS
    paused: bool = False
    last_paused_at: Moment | None = None
    start_at: Moment | None = Field(None, description="No scheduled run before it.")
    end_at: Moment | None = Field(None, description="No scheduled run after it.")
    hogql_query: str | None = None
    filters: Any = None
    timezone: Timezone | None = Field("UTC", description="Of daily and weekly windows.")
    offset_day: Annotated[int, Field(ge=0, le=6)] | None = Field(None, description="Weekly: 0 is Sunday.")
    offset_hour: Annotated[int, Field(ge=0, le=23)] | None = Field(None, description="Daily and weekly.")


class ExportWrite(ExportFields):
    """A create, and a PUT."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    name: Name
    destination: DestinationWrite
    interval: Interval


class ExportPatch(ExportFields):
    name: Name = ""
    destination: DestinationPatch = Field(default_factory=DestinationPatch)
    interval: Interval = Interval.HOUR


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
