"""The tables. Importing this package makes all of them known to the metadata."""

from app.models.backfills import Backfill
from app.models.enums import BackfillStatus, Interval, Model, RunStatus, SelectBy
from app.models.events import EVENT_STORE_SCHEMA, Event
from app.models.exports import Export
from app.models.integrations import Integration
from app.models.logs import LogEntry
from app.models.runs import Run
from app.models.tenants import ApiKey, Organization, Project

__all__ = [
    "EVENT_STORE_SCHEMA",
    "ApiKey",
    "Backfill",
    "BackfillStatus",
    "Event",
    "Export",
    "Integration",
    "Interval",
    "LogEntry",
    "Model",
    "Organization",
    "Project",
    "Run",
    "RunStatus",
    "SelectBy",
]
