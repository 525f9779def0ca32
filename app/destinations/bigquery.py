"""Google BigQuery (the contract's section 10.6), at the level of its config; delivery follows."""

from collections.abc import Sequence
from typing import ClassVar

from app.destinations.base import DestinationConfig
from app.destinations.columns import BIGQUERY_COLUMNS, Columns
from app.destinations.proposal import Takes
from app.destinations.steps import Step, unbuilt
from app.destinations.undelivered import Undelivered


class BigQueryConfig(DestinationConfig):
    dataset_id: str
    table_id: str = "events"
    use_json_type: bool = False
    project_id: str | None = None
    private_key: str | None = None
    private_key_id: str | None = None
    token_uri: str | None = None
    client_email: str | None = None


class BigQuery(Undelivered):
    """With an integration, or with a service account's key in the config. With a part of the key the missing part is
    named; with none, and no integration, the integration is."""

    name: ClassVar[str] = "BigQuery"
    config_model: ClassVar[type[DestinationConfig]] = BigQueryConfig
    secrets: ClassVar[frozenset[str]] = frozenset({"private_key", "private_key_id", "client_email", "token_uri"})
    columns: ClassVar[Columns] = BIGQUERY_COLUMNS
    takes: ClassVar[Takes | None] = Takes(
        kind="google-cloud-service-account",
        wrong_kind="Integration is not a Google Cloud service account integration.",
        required="Integration is required for BigQuery batch exports",
    )
    inline: ClassVar[Sequence[str]] = ("project_id", "private_key", "private_key_id", "token_uri", "client_email")
    steps: ClassVar[Sequence[Step]] = (
        unbuilt("Impersonate BigQuery service account", "Act as the service account, where the integration says so."),
        unbuilt(
            "Verify BigQuery service account ownership", "See that the service account belongs to this organization."
        ),
        unbuilt("Verify BigQuery project", "See that the project exists and can be used."),
        unbuilt("Verify BigQuery dataset", "See that the dataset exists and can be used."),
        unbuilt("Verify BigQuery table", "See that the table exists, or that it can be made."),
    )
