"""The manifest: an object that lists the files of one run. Written last, so whoever goes by it reads a whole run.

``files`` is the contract's (section 10.1). The rest is ours, for readers who want to know what they read.
``partition`` says what the file's rows have in common: whole, where the name of its folder had to be cut.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.destinations.base import Target, WrittenFile
from app.streams import Partition


def describe(target: Target, files: Sequence[WrittenFile], partitions: Sequence[Partition]) -> bytes:
    document = {
        "files": [file.key for file in files],
        "run_id": str(target.run_id),
        "model": target.table,
        "data_interval_start": _iso(target.start),
        "data_interval_end": _iso(target.end),
        "rows": sum(file.rows for file in files),
        "bytes": sum(file.bytes for file in files),
        "entries": [_entry(file, partition) for file, partition in zip(files, partitions, strict=True)],
    }
    return json.dumps(document).encode()


def _entry(file: WrittenFile, partition: Partition) -> dict[str, Any]:
    entry = {
        "key": file.key,
        "rows": file.rows,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "min_timestamp": _iso(file.min_timestamp),
        "max_timestamp": _iso(file.max_timestamp),
    }
    return {**entry, "partition": dict(partition)} if partition else entry


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
