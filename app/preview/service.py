"""What an export would write: columns, rows, keys and sizes, found out from the latest intervals."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import pyarrow as pa

from app.destinations import DESTINATIONS
from app.destinations.base import Target
from app.errors import RunError, Unavailable, ValidationFailed
from app.exports.schedules import schedule_of
from app.exports.schemas import ExportWrite
from app.exports.service import ExportService
from app.formats import FORMATS
from app.http.body import Draft
from app.models import Export, SelectBy
from app.network import Network
from app.pipeline.clean import Cleaner
from app.pipeline.deliver import file_extension
from app.pipeline.opening import query_of
from app.preview.sample import Sample, shown, size_in_file, take, type_name
from app.preview.schemas import ColumnRead, EstimateRead, NextRunRead, PreviewRead
from app.runtime import Runtime
from app.scheduling.intervals import Schedule, Window
from app.sources.base import EventQuery
from app.tenants.access import Access
from app.unit import Unit

INTERVALS: Final = 7
"""That are looked at: a week of days, so that one quiet day does not stand for all."""
NEXT_RUNS: Final = 3
FURTHER_BACK: Final = timedelta(days=30)
"""Where rows to show are looked for when the latest intervals have none."""
ROWS_FORMAT: Final = "JSONLines"
"""In which rows are shown for destinations that store no files."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An export that is not there, and a window of it. See :class:`app.pipeline.opening.Subject`."""

    export: Export
    window: Window

    @property
    def export_id(self) -> UUID:
        return self.export.id

    @property
    def project_id(self) -> int:
        return self.export.project_id

    @property
    def model(self) -> str:
        return self.export.model

    @property
    def destination_type(self) -> str:
        return self.export.destination_type

    @property
    def destination_config(self) -> bytes:
        return self.export.destination_config

    @property
    def filters(self) -> list[Any] | None:
        return self.export.filters

    @property
    def hogql_query(self) -> str | None:
        return self.export.hogql_query

    @property
    def start(self) -> datetime | None:
        return self.window.start

    @property
    def end(self) -> datetime:
        return self.window.end

    @property
    def select_by(self) -> str:
        return SelectBy.INGESTED_AT


class PreviewService:
    def __init__(self, unit: Unit, access: Access) -> None:
        self._unit = unit
        self._exports = ExportService(unit, access)

    async def preview(self, body: Draft[ExportWrite]) -> PreviewRead:
        """:raises ValidationFailed: as a create of the same body would.
        :raises Unavailable: when the event store does not answer.
        """
        export, fields = await self._exports.draft(body)
        config = fields.destination.config
        # The event store may take its time; no connection to the database waits with it.
        await self._unit.session.commit()
        export.id = uuid4()
        try:
            return await _Preview(self._unit.runtime, export, config).make()
        except RunError as error:
            if error.retryable:
                raise Unavailable(f"There is no preview just now. {error}") from None
            raise ValidationFailed(f"There is no preview. {error}") from None


class _Preview:
    def __init__(self, runtime: Runtime, export: Export, config: dict[str, Any]) -> None:
        self._runtime = runtime
        self._export = export
        kind = DESTINATIONS[export.destination_type]
        known = {key: value for key, value in config.items() if key in kind.config_model.by_key()}
        # Nothing is sent anywhere, so credentials, which an integration may have, are not needed.
        self._destination = kind(kind.config_model(**known), Network.of(runtime.settings))
        self._schedule = schedule_of(export)
        self._now = self._schedule.align(runtime.clock())
        self._notes: list[str] = []

    async def make(self) -> PreviewRead:
        windows = latest(self._schedule, self._now, INTERVALS)
        limit = self._runtime.settings.preview_time_limit.total_seconds()
        records: int | None = None
        sample = Sample([])
        try:
            async with asyncio.timeout(limit):
                sample = await self._sample(windows)
                records = await self._runtime.source.count(self._query(Window(windows[0].start, windows[-1].end)))
        except TimeoutError:
            self._notes.append(f"The event store took longer than {limit:g} seconds: not everything was looked at.")
        schema = self._runtime.source.schema(self._query(windows[-1]))
        rows = await asyncio.to_thread(shown, sample, schema, self._format or ROWS_FORMAT)
        return PreviewRead(
            columns=[ColumnRead(name=field.name, type=type_name(field)) for field in schema],
            rows=rows,
            next_runs=[self._next_run(window) for window in following(self._schedule, self._now, NEXT_RUNS)],
            estimate=await self._estimate(records, sample, schema) if records is not None else None,
            notes=self._notes,
        )

    async def _sample(self, windows: Sequence[Window]) -> Sample:
        """Rows of the latest interval that has any, as the destination would get them."""
        whole = Window(windows[0].start, windows[-1].end)
        # Up to now: whoever has just sent the first events wants to see them.
        recent = Window(whole.end - FURTHER_BACK, self._runtime.clock())
        for window in (windows[-1], whole, recent):
            sample = await take(Cleaner().clean(self._runtime.source.read(self._query(window))))
            if sample.rows:
                return sample
        self._notes.append(f"There were no rows to show in the last {FURTHER_BACK.days} days.")
        return Sample([])

    async def _estimate(self, records: int, sample: Sample, schema: pa.Schema) -> EstimateRead:
        each = records / INTERVALS
        size: int | None = None
        if self._format is not None:
            size = 0
            if sample.rows and records:
                compression = self._destination.config.compression
                written = await asyncio.to_thread(size_in_file, sample, schema, self._format, compression)
                size = round(written / sample.rows * each)
        return EstimateRead(records=round(each, 1), bytes=size, intervals=INTERVALS)

    def _next_run(self, window: Window) -> NextRunRead:
        assert window.start is not None
        extension = ""
        if self._format is not None:
            config = self._destination.config
            extension = file_extension(FORMATS[self._format], config.compression, config.legacy_parquet_extension)
        target = Target(self._export.model, window.start, window.end, self._export.id, epoch=0, extension=extension)
        return NextRunRead(
            data_interval_start=window.start,
            data_interval_end=window.end,
            keys=list(self._destination.first_keys(target)),
        )

    def _query(self, window: Window) -> EventQuery:
        # Of what the store does not keep any more, the rest is shown.
        return replace(query_of(Subject(self._export, window), self._destination), whole=False)

    @property
    def _format(self) -> str | None:
        """In which files are written; None where there are none."""
        return self._destination.config.file_format if self._destination.formats else None


def latest(schedule: Schedule, end: datetime, number: int) -> list[Window]:
    """The last windows before the boundary ``end``, the latest one last."""
    windows: list[Window] = []
    while len(windows) < number:
        start = schedule.align(end - timedelta(microseconds=1))
        windows.insert(0, Window(start, end))
        end = start
    return windows


def following(schedule: Schedule, start: datetime, number: int) -> list[Window]:
    """The windows from the boundary ``start`` on."""
    windows: list[Window] = []
    while len(windows) < number:
        windows.append(Window(start, schedule.following(start)))
        start = windows[-1].end
    return windows
