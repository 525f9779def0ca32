"""What is opened for one run: its destination, and the query that selects its rows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, Protocol
from uuid import UUID

from app import destinations
from app.db.engine import DATABASE_ERRORS
from app.destinations.base import Destination
from app.destinations.proposal import Linked
from app.errors import Misconfigured, SetupError, Transient, Unsupported
from app.exports.queries import stored_fields, stored_filters
from app.exports.repository import ExportRepository
from app.integrations.linked import open_linked
from app.models import Model, SelectBy
from app.network import Network
from app.runtime import Runtime
from app.sources.base import EventQuery

SELECTING: Final[Mapping[str, Literal["ingested_at", "timestamp"]]] = {
    SelectBy.INGESTED_AT: "ingested_at",
    SelectBy.TIMESTAMP: "timestamp",
}


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
    if subject.model not in (Model.EVENTS, Model.PERSONS, Model.SESSIONS):
        raise Unsupported(f"this version exports events, persons and sessions, not {subject.model!r}")
    kind = destinations.DESTINATIONS.get(subject.destination_type)
    if kind is None or not kind.delivers:
        raise Unsupported(f"this version cannot deliver to {subject.destination_type} yet")
    try:
        document = runtime.cipher.open(subject.destination_config)
        integration = await _integration(runtime, subject.export_id) if kind.takes is not None else None
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


async def _integration(runtime: Runtime, export_id: UUID) -> Linked | None:
    """:raises Transient: while the database is away."""
    try:
        async with runtime.sessions() as session:
            found = await ExportRepository(session).integration(export_id)
    except DATABASE_ERRORS as error:
        raise Transient(f"the service's own database does not answer ({type(error).__name__})") from None
    return open_linked(found, runtime.cipher) if found is not None else None
