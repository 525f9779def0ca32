"""File downloads, as the API takes and shows them."""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from app.destinations.files import FORMAT_COMPRESSIONS
from app.errors import ValidationFailed
from app.exports.checks import GATED_MODELS
from app.exports.fields import Document, Moment, Text
from app.http.text import RequestModel, storable
from app.http.validation import in_order
from app.models import Model, RunStatus, SelectBy
from app.tenants.access import Access

NAMES: dict[str, Any] = {"type": ["array", "null"], "items": {"type": "string"}}
HOGQL_EXAMPLE = "SELECT event, timestamp, properties.$browser AS browser FROM events WHERE event = '$pageview'"


class FileFormat(StrEnum):
    PARQUET = "Parquet"
    JSON_LINES = "JSONLines"


class Compression(StrEnum):
    ZSTD = "zstd"
    GZIP = "gzip"
    BROTLI = "brotli"
    LZ4 = "lz4"
    SNAPPY = "snappy"


class FileWrite(RequestModel):
    format: FileFormat = FileFormat.PARQUET
    compression: Compression | None = Field(None, description="JSONLines: gzip or brotli. Parquet: any of them.")
    max_size_mb: Annotated[int, Field(strict=True, ge=0)] | None = Field(
        1024, description="After so many megabytes a file ends and the next one begins; 0 or null is one file."
    )

    @field_validator("compression")
    @classmethod
    def _check_compression(cls, value: Compression | None, info: ValidationInfo) -> Compression | None:
        fmt = info.data.get("format")
        if fmt is None or value is None or value in FORMAT_COMPRESSIONS[fmt]:
            return value
        with in_order():
            raise ValidationFailed(
                f"Compression {value} is not supported for file format {fmt}. "
                f"Supported compressions are {list(FORMAT_COMPRESSIONS[fmt])}",
                attr="file__compression",
            )


def _gated(value: Model, info: ValidationInfo) -> Model:
    """:raises app.errors.PermissionDenied: where the flag of the model is off."""
    assert isinstance(info.context, Access)
    if value in GATED_MODELS:
        info.context.require(GATED_MODELS[value])
    return value


class Asked(RequestModel):
    """What is asked of the event store, whether for files or for a number. Rules across fields are in
    :mod:`app.downloads.asked`."""

    model: Model
    data_interval_start: Moment | None = Field(
        None, description="Without a zone it is UTC. Of a query: only if it has the placeholder of this name."
    )
    data_interval_end: Moment | None = Field(
        None, description="As the start; seven days after it at most, and not in the future."
    )
    hogql_query: Text | None = Field(
        None, description="Of the model `hogql`: which columns of which events, row by row."
    )
    hogql_modifiers: Document | None = Field(None, description="Of the model `hogql`. Taken, and without effect here.")

    _check_model = field_validator("model")(_gated)


class DownloadWrite(Asked):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "file": {"format": "JSONLines", "compression": "gzip"},
                    "model": "events",
                    "include": ["$pageview"],
                    "data_interval_start": "2026-11-02T00:00:00Z",
                    "data_interval_end": "2026-11-03T00:00:00Z",
                },
                {"file": {}, "model": "hogql", "hogql_query": HOGQL_EXAMPLE},
            ]
        }
    )

    file: FileWrite
    include: Annotated[Any, AfterValidator(storable)] = Field(
        None, json_schema_extra=NAMES, description="Of events: only those with these names."
    )
    exclude: Annotated[Any, AfterValidator(storable)] = Field(
        None, json_schema_extra=NAMES, description="Of events: none with these names."
    )
    select_by: SelectBy = Field(
        SelectBy.TIMESTAMP, description="Which time of an event decides: its own, or when it was ingested."
    )

    @field_validator("include", "exclude")
    @classmethod
    def _check_names(cls, value: Any, info: ValidationInfo) -> list[str] | None:
        with in_order():
            return check_names(value, str(info.field_name))


class CountWrite(Asked):
    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "hogql", "hogql_query": HOGQL_EXAMPLE}]})

    model: Annotated[Model, Field(json_schema_extra={"enum": [Model.HOGQL]})]

    @field_validator("model")
    @classmethod
    def _check_countable(cls, value: Model) -> Model:
        with in_order():
            if value is not Model.HOGQL:
                raise ValidationFailed(f'"{value}" is not a valid choice.', code="invalid_choice", attr="model")
        return value


def check_names(names: Any, field: str) -> list[str] | None:
    """:raises ValidationFailed: for anything but a list of texts, or null."""
    if names is None:
        return None
    if not isinstance(names, list):
        detail = f'Expected a list of items but got type "{type(names).__name__}".'
        raise ValidationFailed(detail, code="not_a_list", attr=field)
    for number, name in enumerate(names):
        attr = f"{field}__{number}"
        if name is None:
            raise ValidationFailed("This field may not be null.", code="null", attr=attr)
        if not isinstance(name, str):
            raise ValidationFailed("Not a valid string.", attr=attr)
    return names


class DownloadCreated(BaseModel):
    id: UUID


class DownloadListed(BaseModel):
    id: UUID
    status: RunStatus


class DownloadRead(BaseModel):
    """Keys that do not apply are left out."""

    status: RunStatus
    files: list[UUID] = Field(default_factory=list, description="Once it is completed; each has a link of its own.")
    records_completed: int | None = Field(None, description="Once it is completed.")
    error: str | None = Field(None, description="Of the latest attempt, if one failed.")


class DownloadCancelled(BaseModel):
    status: RunStatus = RunStatus.CANCELLED


class RowsCounted(BaseModel):
    count: int
