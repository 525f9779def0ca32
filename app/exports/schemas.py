"""Exports, as the API takes and shows them (the contract's sections 3.1 and 3.2)."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    JsonValue,
    PrivateAttr,
    ValidationInfo,
    field_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from app.destinations.proposal import Linked
from app.exports import documents
from app.exports.checks import (
    check_columns,
    check_filters,
    check_interval,
    check_model,
    settle_destination,
)
from app.exports.facts import Facts
from app.exports.fields import (
    NAMES_SCHEMA,
    DestinationType,
    Document,
    Flag,
    IncrementalMode,
    Moment,
    Name,
    Text,
    Timezone,
)
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

INTEGRATION_KEYS = ("integration", "integration_id")
Whole = Annotated[int, Field(strict=True)]


class DestinationWrite(RequestModel):
    type: DestinationType
    config: Document
    integration: Any = Field(None, json_schema_extra={"type": ["integer", "null"]})
    integration_id: Any = Field(
        None, json_schema_extra={"type": ["integer", "null"]}, description="The same as `integration`."
    )

    partial: ClassVar[bool] = False
    """Required keys of the config may be left out, for they are stored."""
    overlaid: ClassVar[bool] = False
    """They may, because what is stored is laid under what was sent: for connection tests."""

    _linked: Linked | None = PrivateAttr(None)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(documents.patched() if cls.partial or cls.overlaid else documents.written())

    @field_validator("integration", "integration_id")
    @classmethod
    def _number(cls, value: Any) -> int | None:
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
            return int(value)
        raise PydanticCustomError(
            "incorrect_type", f"Incorrect type. Expected pk value, received {type(value).__name__}."
        )

    @property
    def linked(self) -> Linked | None:
        """The integration that the export will have, once the body has been checked."""
        return self._linked

    def settle(self, facts: Facts, project_id: int) -> None:
        """Type and config become those to store, and the integration is known."""
        settled = settle_destination(
            self.type,
            self.config,
            next(((key, getattr(self, key)) for key in INTEGRATION_KEYS if key in self.model_fields_set), None),
            facts,
            project_id,
            partial=self.partial,
            overlaid=self.overlaid,
        )
        self.type, self.config, self._linked = settled.type, settled.config, settled.integration


class DestinationPatch(DestinationWrite):
    """A missing type is unchanged, a missing config changes nothing (section 4.2)."""

    type: DestinationType = Field(default_factory=str)
    config: Document = Field(default_factory=dict)

    partial: ClassVar[bool] = True


class ExportWrite(RequestModel):
    """A create, and a PUT. Which of the optional keys were sent decides what a PUT changes."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    # First, and never wrong itself: the checks of the others want to know whose flags and integrations count.
    team_id: Any = Field(
        None,
        description="The project of a new export, where the path names an organization; ignored elsewhere.",
    )
    name: Name
    model: Model | None = Field(Model.EVENTS, description="Cannot be changed later. Null means events.")
    destination: DestinationWrite
    interval: Interval
    paused: Flag = False
    last_paused_at: Moment | None = None
    start_at: Moment | None = Field(None, description="No scheduled run before it.")
    end_at: Moment | None = Field(None, description="No scheduled run after it.")
    hogql_query: Text | None = Field(
        None, description="Of events: the columns to export, as `SELECT event, properties.$browser FROM events`."
    )
    hogql_modifiers: Document | None = None
    primary_key: Annotated[Any, AfterValidator(storable)] = Field(None, json_schema_extra=NAMES_SCHEMA)
    version_key: Annotated[Any, AfterValidator(storable)] = Field(None, json_schema_extra=NAMES_SCHEMA)
    incremental_mode: IncrementalMode | None = Field("APPEND", description="Null means APPEND.")
    filters: Annotated[Any, AfterValidator(storable)] = Field(
        None,
        json_schema_extra={"type": ["array", "null"], "items": {"type": "object"}},
        description="Conditions on the properties of events and persons, which all must hold.",
    )
    timezone: Timezone | None = Field("UTC", description="Of daily and weekly windows.")
    offset_day: Annotated[Whole, Field(ge=0, le=6)] | None = Field(None, description="Weekly: 0 is Sunday.")
    offset_hour: Annotated[Whole, Field(ge=0, le=23)] | None = Field(None, description="Daily and weekly.")

    @field_validator("model")
    @classmethod
    def _check_model(cls, value: Model | None, info: ValidationInfo) -> Model:
        with in_order():
            return check_model(value or Model.EVENTS, *_facts(info))

    @field_validator("destination")
    @classmethod
    def _settle_destination(cls, value: DestinationWrite, info: ValidationInfo) -> DestinationWrite:
        with in_order():
            value.settle(*_facts(info))
        return value

    @field_validator("interval")
    @classmethod
    def _check_interval(cls, value: Interval, info: ValidationInfo) -> Interval:
        return check_interval(value, *_facts(info))

    @field_validator("primary_key", "version_key")
    @classmethod
    def _check_columns(cls, value: Any, info: ValidationInfo) -> list[str] | None:
        with in_order():
            return check_columns(value, str(info.field_name))

    @field_validator("filters")
    @classmethod
    def _check_filters(cls, value: Any) -> list[Any] | None:
        with in_order():
            return check_filters(value)


def _facts(info: ValidationInfo) -> tuple[Facts, int]:
    """What is known besides the body, and the project that counts."""
    facts = info.context
    assert isinstance(facts, Facts)
    return facts, facts.project(info.data.get("team_id"))


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

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(documents.shown())


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
