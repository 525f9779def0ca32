"""How a notification reads: the JSON of a webhook, the subject and text of an e-mail. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app.notifications.notices import Kind, iso

SUBJECTS: Final[Mapping[str, str]] = {
    Kind.RUN_FAILED: "{name} batch export run failure",
    Kind.EXPORT_PAUSED: "{name} batch export paused",
    Kind.INTERVAL_OVERDUE: "{name} batch export is late",
    Kind.INTERVAL_MISSING: "{name} batch export had a gap",
}
OPENINGS: Final[Mapping[str, str]] = {
    Kind.RUN_FAILED: "A run of this batch export failed.",
    Kind.EXPORT_PAUSED: "This batch export was paused, because too many of its latest runs failed. Its unfinished "
    "backfills were cancelled.",
    Kind.INTERVAL_OVERDUE: "Intervals of this batch export are not exported yet, though they should be.",
    Kind.INTERVAL_MISSING: "Intervals of this batch export had no run. Runs have been made for them.",
}
WHAT_TO_DO: Final[Mapping[str, str]] = {
    Kind.RUN_FAILED: "Mend what the error names, then retry the run. At most one of these messages is sent per export "
    "and day: look at the list of runs for others that failed.",
    Kind.EXPORT_PAUSED: "Mend what the error names, then unpause the export, with a backfill if what it misses "
    "meanwhile is to be exported too.",
    Kind.INTERVAL_OVERDUE: "See whether workers are running, whether the event store and the destination answer, and "
    "what the export's log says. Nothing is lost: the intervals are exported as soon as that is possible.",
    Kind.INTERVAL_MISSING: "Nothing, if nobody deleted runs; otherwise make sure that it does not happen again.",
}
LABELS: Final[Mapping[str, str]] = {
    "export_name": "Export",
    "export_id": "Export id",
    "run_id": "Run id",
    "backfill_id": "Backfill id",
    "interval": "Interval",
    "data_interval_start": "From",
    "data_interval_end": "To",
    "status": "Status",
    "intervals": "Intervals",
    "failed_runs": "Failed runs",
    "error": "Error",
}
"""What an e-mail lists, in this order."""


@dataclass(frozen=True, slots=True)
class Message:
    """A notification, the same at every attempt to deliver it."""

    id: UUID
    kind: str
    data: Mapping[str, Any]
    created_at: datetime

    @property
    def webhook_id(self) -> str:
        return f"msg_{self.id.hex}"

    @property
    def body(self) -> bytes:
        """Of a webhook: ``type``, ``timestamp`` and ``data`` (the Standard Webhooks specification)."""
        document = {"type": f"batch_export.{self.kind}", "timestamp": iso(self.created_at), "data": dict(self.data)}
        return json.dumps(document, ensure_ascii=False, sort_keys=True).encode()

    @property
    def subject(self) -> str:
        """One line, whatever the export is called."""
        if (template := SUBJECTS.get(self.kind)) is None:
            return "Batch Exports: test notification"
        return "Batch Exports: " + template.format(name=single_line(str(self.data["export_name"])))

    @property
    def text(self) -> str:
        if self.kind not in OPENINGS:
            return "Notifications of this project arrive here.\n"
        facts = [f"{label}: {self.data[key]}" for key, label in LABELS.items() if self.data.get(key) is not None]
        return "\n".join([OPENINGS[self.kind], "", *facts, "", WHAT_TO_DO[self.kind], ""])


def single_line(text: str) -> str:
    """What would end a header, or is not to be seen, becomes a space."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
