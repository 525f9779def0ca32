"""Starting, reading, fetching and cancelling downloads."""

import asyncio
import re
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

from app.destinations.file_download import FileDownload, InternalBucket
from app.downloads.asked import check_asked
from app.downloads.errors import NoBucket, TooManyConcurrentDownloads
from app.downloads.repository import DownloadRepository
from app.downloads.schemas import DownloadListed, DownloadRead, DownloadWrite
from app.errors import NotFound, ValidationFailed
from app.http.body import Draft
from app.logs.repository import LogFilter
from app.logs.service import LogService
from app.models import Download, Export, Interval, LogEntry, Model, Run, RunFile, RunStatus
from app.runs.repository import RunRepository
from app.tenants.access import Access
from app.unit import Unit

MOST_DIGITS: Final = 18
"""Of an index; a longer one is out of range without being read."""


class DownloadService:
    def __init__(self, unit: Unit, access: Access) -> None:
        self._unit = unit
        self._access = access
        self._downloads = DownloadRepository(unit.session)

    async def start(self, draft: Draft[DownloadWrite]) -> UUID:
        """Make the rows of a download, and have a worker told once they are committed.

        :raises ValidationFailed: for a body that is none, and where there is no bucket for downloads.
        :raises PermissionDenied: where the model's flag is off.
        :raises TooManyConcurrentDownloads: when the project has as many unfinished as it may.
        """
        runtime, project_id = self._unit.runtime, self._access.project_id
        now = runtime.clock()
        body = draft.check(self._access)
        check_asked(body, now)
        bucket = InternalBucket.of(runtime.settings)
        if bucket is None:
            raise NoBucket
        await self._downloads.lock(project_id)
        if await self._downloads.count_unfinished(project_id) >= runtime.settings.max_concurrent_downloads:
            raise TooManyConcurrentDownloads
        run_id = uuid4()
        config = _config(body, bucket.prefix_of(project_id, run_id))
        export = Export(
            project_id=project_id,
            name="File download",
            model=body.model,
            destination_type=FileDownload.name,
            destination_config=runtime.cipher.seal(config),
            # It is never scheduled; what counts is how long an attempt may take.
            interval=Interval.HOUR,
            next_start=now,
            paused=True,
            deleted=True,
            hogql_query=body.hogql_query,
            hogql_modifiers=body.hogql_modifiers,
            last_modified_by=self._access.key_id,
            created_at=now,
            last_updated_at=now,
        )
        await self._downloads.add(
            export,
            run_id,
            body.data_interval_start,
            body.data_interval_end or now,
            select_by=body.select_by,
            # A query that names no end reads what is there; one that does waits for what is still arriving before it.
            settled=now if body.data_interval_end is None else body.data_interval_end + runtime.settings.settle_delay,
            now=now,
            expires_at=now + runtime.settings.download_expiry,
        )
        self._unit.after_commit.append(partial(runtime.queue.wake, run_id))
        return run_id

    async def page(self, limit: int, offset: int) -> tuple[list[DownloadListed], int]:
        rows, count = await self._downloads.page(self._access.project_ids, limit, offset)
        return [DownloadListed(id=run_id, status=RunStatus(status)) for run_id, status in rows], count

    async def read(self, run_id: UUID) -> DownloadRead:
        """:raises NotFound: for a download of another project."""
        _, run = await self._get(run_id)
        files = await self._downloads.files(run.id)
        shown: dict[str, Any] = {"status": _status(run, files)}
        if shown["status"] == RunStatus.COMPLETED:
            shown |= {"files": [file.id for file in files], "records_completed": run.records_completed}
        if run.latest_error is not None:
            shown["error"] = run.latest_error
        return DownloadRead(**shown)

    async def link(self, run_id: UUID, part: str) -> str:
        """A signed URL of one file; ``part`` is its id or its place, from 0. Never to be logged: it is a key.

        :raises NotFound: for a download of another project, and a file that it does not have.
        :raises ValidationFailed: while there is nothing to fetch, or when there will never be again.
        """
        download, run = await self._get(run_id)
        files = await self._downloads.files(run.id)
        _check_fetchable(_status(run, files))
        runtime = self._unit.runtime
        left = download.expires_at - runtime.clock()
        if left <= timedelta(0):
            raise ValidationFailed("This file download has expired")
        file = _find(files, part)
        bucket = InternalBucket.of(runtime.settings)
        if bucket is None:
            raise NoBucket
        export = await self._unit.session.get_one(Export, run.export_id)
        seconds = max(1, int(min(left, runtime.settings.download_url_life).total_seconds()))
        return await asyncio.to_thread(bucket.link, file.key, _file_name(export.model, file.key), seconds)

    async def cancel(self, run_id: UUID) -> None:
        """:raises ValidationFailed: when it has ended already."""
        _, run = await self._get(run_id)
        if not await RunRepository(self._unit.session).cancel(run.id, self._unit.runtime.clock()):
            await self._unit.session.refresh(run)
            raise ValidationFailed(f"Cannot cancel a run that is in '{run.status}' status")

    async def log(self, run_id: UUID, wanted: LogFilter, limit: int, offset: int) -> tuple[Sequence[LogEntry], int]:
        """:raises NotFound: for a download of another project."""
        _, run = await self._get(run_id)
        return await LogService(self._unit, self._access).of_run(run.export_id, run.id, wanted, limit, offset)

    async def _get(self, run_id: UUID) -> tuple[Download, Run]:
        found = await self._downloads.get(self._access.project_ids, run_id)
        if found is None:
            raise NotFound
        return found


def _config(body: DownloadWrite, prefix: str) -> dict[str, Any]:
    """What is stored of how the files are written."""
    of_events = body.model is Model.EVENTS
    return {
        "prefix": prefix,
        "file_format": body.file.format.value,
        "compression": body.file.compression,
        "max_file_size_mb": body.file.max_size_mb or None,
        "include_events": body.include if of_events else None,
        "exclude_events": body.exclude if of_events else None,
    }


def _status(run: Run, files: Sequence[RunFile]) -> RunStatus:
    """Rows without files are files that are not on record yet."""
    status = RunStatus(run.status)
    return RunStatus.RUNNING if status is RunStatus.COMPLETED and run.records_completed and not files else status


def _check_fetchable(status: RunStatus) -> None:
    match status:
        case RunStatus.COMPLETED:
            return
        case RunStatus.STARTING | RunStatus.RUNNING:
            raise ValidationFailed("Batch export run is still in progress")
        case RunStatus.CANCELLED:
            raise ValidationFailed("Batch export run was cancelled")
        case _:
            raise ValidationFailed("Batch export run has failed")


def _find(files: Sequence[RunFile], part: str) -> RunFile:
    """:raises ValidationFailed: for a text that is neither an id nor an index.
    :raises NotFound: for one of no file.
    """
    if part.isascii() and part.isdigit():
        digits = part.lstrip("0") or "0"
        if len(digits) > MOST_DIGITS or int(digits) >= len(files):
            raise NotFound(f"No files with index {digits}")
        return files[int(digits)]
    try:
        file_id = UUID(part)
    except ValueError:
        raise ValidationFailed(f"Invalid file id or index: '{part}'") from None
    for file in files:
        if file.id == file_id:
            return file
    raise NotFound


def _file_name(model: str, key: str) -> str:
    """What a browser saves the file as: of the key's last part, what every file system takes."""
    name = key.rpartition("/")[2].replace("+00:00", "Z").replace(":", "")
    return f"{model}-{re.sub('[^A-Za-z0-9._-]', '_', name)}"
