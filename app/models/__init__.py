"""The tables. Importing this package makes all of them known to the metadata."""

from app.models.backfills import Backfill
from app.models.downloads import Download
from app.models.enums import BackfillStatus, DeliveryStatus, Interval, Model, RunStatus, SelectBy
from app.models.events import EVENT_STORE_SCHEMA, Event, IngestionError, Person, PersonDistinctId, Retention
from app.models.exports import Export
from app.models.files import RunFile
from app.models.integrations import Integration
from app.models.logs import LogEntry
from app.models.notifications import Notification, NotificationChannels, NotificationDelivery, UncountedFailure
from app.models.runs import Run
from app.models.tenants import ApiKey, Organization, Project

__all__ = [
    "EVENT_STORE_SCHEMA",
    "ApiKey",
    "Backfill",
    "BackfillStatus",
    "DeliveryStatus",
    "Download",
    "Event",
    "Export",
    "IngestionError",
    "Integration",
    "Interval",
    "LogEntry",
    "Model",
    "Notification",
    "NotificationChannels",
    "NotificationDelivery",
    "Organization",
    "Person",
    "PersonDistinctId",
    "Project",
    "Retention",
    "Run",
    "RunFile",
    "RunStatus",
    "SelectBy",
    "UncountedFailure",
]
