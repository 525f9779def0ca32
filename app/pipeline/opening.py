"""What is opened for one run: its destination, and the query that selects its rows."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol
from uuid import UUID

from app import destinations
from app.db.engine import DATABASE_ERRORS
from app.destinations.base import Destination
from app.destinations.file_download import Delivery, FileDownload, InternalBucket, is_download
from app.destinations.proposal import Linked
from app.errors import Misconfigured, SetupError, Transient, Unsupported
from app.exports.queries import stored_fields, stored_filters, stored_result
from app.exports.repository import ExportRepository
from app.integrations.linked import Sealed, open_linked
from app.models import Model, SelectBy
from app.network import Network
from app.runs.claim import Claim
from app.runtime import Runtime
from app.sources.base import EventQuery

SELECTING: Final[Mapping[str, Literal["ingested_at", "timestamp"]]] = {
    SelectBy.INGESTED_AT: "ingested_at",
    SelectBy.TIMESTAMP: "timestamp",
}
END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)


class Subject(Protocol):
    """What is known of a run and its export. The config is still sealed."""

    @property
    def export_id(self) -> UUID: ...
    @property
    def project_id(self) -> int: ...
    @property
    def model(self) -> str: ...
    @property
    def destination_type(self) -> str: ...
    @property
    def destination_config(self) -> bytes: ...
    @property
    def start(self) -> datetime | None: ...
    @property
    def end(self) -> datetime: ...
    @property
    def select_by(self) -> str: ...


class Selecting(Subject, Protocol):
    """And what is known of the rows it takes, and of their columns."""

    @property
    def filters(self) -> Sequence[Any] | None: ...
    @property
    def hogql_query(self) -> str | None: ...


async def open_destination(runtime: Runtime, subject: Subject) -> Destination:
    """:raises app.errors.RunError: for what this version cannot export, and for a config that cannot be used."""
    if subject.destination_type == FileDownload.name:
        return _open_download(runtime, subject)
    if subject.model not in (Model.EVENTS, Model.PERSONS, Model.SESSIONS):
        raise Unsupported(f"this version exports events, persons and sessions, not {subject.model!r}")
    kind = destinations.DESTINATIONS.get(subject.destination_type)
    if kind is None or not kind.delivers:
        raise Unsupported(f"this version cannot deliver to {subject.destination_type} yet")
    try:
        document = runtime.cipher.open(subject.destination_config)
        integration = await _integration(runtime, subject) if kind.takes is not None else None
    except SetupError as error:
        raise Misconfigured(str(error)) from None
    try:
        return destinations.build(subject.destination_type, document, Network.of(runtime.settings), integration)
    except ValueError:
        # Written by another version, which knew other rules. What is wrong with it is not told: it holds secrets.
        raise Misconfigured(
            f"the stored config of this {subject.destination_type} export is not valid in this version; save it anew"
        ) from None


def query_of(subject: Selecting, destination: Destination) -> EventQuery:
    """The rows of a run, in the columns that its destination stores, or in those of the export's own query.

    :raises Misconfigured: for filters or a query that this version does not understand.
    """
    if subject.model == Model.HOGQL:
        return result_query(subject.project_id, subject.hogql_query or "", subject.start, subject.end)
    return EventQuery(
        project_id=subject.project_id,
        model=subject.model,
        start=subject.start,
        end=subject.end,
        select_by=SELECTING[subject.select_by],
        columns=tuple(destination.columns[subject.model]),
        include_events=tuple(destination.config.include_events or ()),
        exclude_events=tuple(destination.config.exclude_events or ()),
        filters=stored_filters(subject.filters, subject.end),
        fields=stored_fields(subject.hogql_query),
    )


def result_query(project_id: int, hogql_query: str, start: datetime | None, end: datetime | None) -> EventQuery:
    """The rows of the model ``hogql``: what a query yields of all events, as they are when it is read. The bounds are
    nothing but the values of its placeholders.

    :raises Misconfigured: for a query that this version does not understand.
    """
    fields, filters = stored_result(hogql_query, start, end)
    return EventQuery(
        project_id=project_id,
        model=Model.EVENTS,
        start=None,
        end=END_OF_TIME,
        select_by="timestamp",
        columns=(),
        filters=filters,
        fields=fields,
    )


def _open_download(runtime: Runtime, subject: Subject) -> Delivery:
    """:raises app.errors.RunError: as above."""
    try:
        document = runtime.cipher.open(subject.destination_config)
    except SetupError as error:
        raise Misconfigured(str(error)) from None
    if not is_download(document):
        raise Unsupported(
            f"{subject.destination_type} is for downloads on demand, which are asked for by POST to "
            "file_download_batch_exports; exports on an interval cannot deliver to it"
        )
    bucket = InternalBucket.of(runtime.settings)
    if bucket is None:
        raise Misconfigured("there is no bucket for file downloads: set BATCH_EXPORTS_DOWNLOAD_BUCKET_NAME")
    try:
        return Delivery.into(bucket, document, Network.of(runtime.settings))
    except ValueError:
        raise Misconfigured(
            "the stored config of this download is not valid in this version; ask for it anew"
        ) from None


async def _integration(runtime: Runtime, subject: Subject) -> Linked | None:
    """:raises Transient: while the database is away."""
    found: Sealed | None
    if isinstance(subject, Claim):
        found = subject.integration
    else:
        try:
            async with runtime.sessions() as session:
                found = await ExportRepository(session).integration(subject.export_id)
        except DATABASE_ERRORS as error:
            raise Transient(f"the service's own database does not answer ({type(error).__name__})") from None
    return open_linked(found, runtime.cipher, runtime.settings) if found is not None else None
