"""Databricks (the contract's section 10.7), at the level of its config; delivery follows."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from app.destinations.base import DestinationConfig, Gate
from app.destinations.columns import DATABRICKS_COLUMNS, Columns
from app.destinations.proposal import Takes
from app.destinations.steps import Step, unbuilt
from app.destinations.undelivered import Undelivered


class DatabricksConfig(DestinationConfig):
    http_path: str
    catalog: str
    schema_: str = Field(alias="schema")
    table_name: str
    use_variant_type: bool = True
    use_automatic_schema_evolution: bool = True


class Databricks(Undelivered):
    """Always with an integration: there never were credentials in its config."""

    name: ClassVar[str] = "Databricks"
    config_model: ClassVar[type[DestinationConfig]] = DatabricksConfig
    columns: ClassVar[Columns] = DATABRICKS_COLUMNS
    takes: ClassVar[Takes | None] = Takes(
        kind="databricks",
        wrong_kind="Integration is not a Databricks integration.",
        required="Integration is required for Databricks batch exports",
        needs=("server_hostname", "client_id", "client_secret"),
        invalid="Databricks integration is not valid: '{key}' missing",
    )
    gate: ClassVar[Gate | None] = Gate("databricks-batch-exports")
    steps: ClassVar[Sequence[Step]] = (
        unbuilt("Establish connection to Databricks", "Log in with the integration's credentials."),
        unbuilt("Verify Databricks catalog", "See that the catalog exists and can be used."),
        unbuilt("Verify Databricks schema", "See that the schema exists and can be used."),
        unbuilt("Verify Databricks table", "See that the table exists, or that it can be made."),
        unbuilt("Verify permissions to create a Databricks volume", "Make the volume that files go through."),
    )
