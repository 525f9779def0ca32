"""Workflows (the contract's section 10.8): known, so that it can be refused by name. There are none in this service."""

from typing import ClassVar

from app.destinations.base import DestinationConfig, Gate
from app.destinations.columns import FILE_COLUMNS, Columns
from app.destinations.undelivered import Undelivered


class WorkflowsConfig(DestinationConfig):
    hog_function_id: str | None = None


class Workflows(Undelivered):
    name: ClassVar[str] = "Workflows"
    config_model: ClassVar[type[DestinationConfig]] = WorkflowsConfig
    columns: ClassVar[Columns] = FILE_COLUMNS
    gate: ClassVar[Gate | None] = Gate("backfill-workflows-destination")
    hidden: ClassVar[bool] = True
