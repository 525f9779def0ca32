"""Which columns of each model a family of destinations stores, in order (the contract's sections 9.1 to 9.3)."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

Columns: TypeAlias = Mapping[str, Sequence[str]]
"""By model."""

TABLE_PERSONS: Final = (
    "team_id",
    "distinct_id",
    "person_id",
    "properties",
    "person_distinct_id_version",
    "person_version",
    "created_at",
    "is_deleted",
)
FILE_PERSONS: Final = (*TABLE_PERSONS, "_inserted_at")

SESSIONS: Final = (
    "session_id",
    "session_id_v7",
    "team_id",
    "distinct_id",
    "start_timestamp",
    "end_timestamp",
    "urls",
    "num_uniq_urls",
    "entry_current_url",
    "entry_pathname",
    "entry_hostname",
    "end_current_url",
    "end_pathname",
    "end_hostname",
    "entry_utm_source",
    "entry_utm_campaign",
    "entry_utm_medium",
    "entry_utm_term",
    "entry_utm_content",
    "entry_referring_domain",
    "entry_gclid",
    "entry_fbclid",
    "entry_gad_source",
    "pageview_count",
    "autocapture_count",
    "screen_count",
    "channel_type",
    "session_duration",
    "duration",
    "is_bounce",
    "last_external_click_url",
    "page_screen_autocapture_count_up_to",
    "exit_current_url",
    "exit_pathname",
    "vitals_lcp",
    "entry_gclsrc",
    "entry_dclid",
    "entry_gbraid",
    "entry_wbraid",
    "entry_msclkid",
    "entry_twclid",
    "entry_li_fat_id",
    "entry_mc_cid",
    "entry_igshid",
    "entry_ttclid",
    "entry__kx",
    "entry_irclid",
    "_inserted_at",
)
"""The same everywhere."""

FILE_EVENTS: Final = (
    "uuid",
    "event",
    "properties",
    "distinct_id",
    "person_id",
    "person_properties",
    "elements_chain",
    "timestamp",
    "created_at",
    "_inserted_at",
)

AZURE_EVENTS: Final = (
    "uuid",
    "team_id",
    "event",
    "properties",
    "distinct_id",
    "timestamp",
    "_inserted_at",
    "azure_blob_ingested_timestamp",
)

TABLE_EVENTS: Final = (
    "uuid",
    "event",
    "properties",
    "elements",
    "set",
    "set_once",
    "distinct_id",
    "team_id",
    "ip",
    "site_url",
    "timestamp",
    "person_properties",
)

SNOWFLAKE_EVENTS: Final = tuple(
    {"set": "people_set", "set_once": "people_set_once"}.get(name, name) for name in TABLE_EVENTS
)

DATABRICKS_EVENTS: Final = (
    "uuid",
    "event",
    "properties",
    "person_properties",
    "distinct_id",
    "team_id",
    "timestamp",
    "databricks_ingested_timestamp",
)

HTTP_EVENTS: Final = ("uuid", "timestamp", "event", "properties", "distinct_id", "elements_chain")


def _files(events: Sequence[str]) -> Columns:
    return {"events": events, "persons": FILE_PERSONS, "sessions": SESSIONS}


def _tables(events: Sequence[str]) -> Columns:
    return {"events": events, "persons": TABLE_PERSONS, "sessions": SESSIONS}


FILE_COLUMNS: Final = _files(FILE_EVENTS)
"""The S3 family and file downloads."""
AZURE_COLUMNS: Final = _files(AZURE_EVENTS)
TABLE_COLUMNS: Final = _tables(TABLE_EVENTS)
"""Postgres and Redshift."""
SNOWFLAKE_COLUMNS: Final = _tables(SNOWFLAKE_EVENTS)
BIGQUERY_COLUMNS: Final = _tables((*TABLE_EVENTS, "bq_ingested_timestamp"))
DATABRICKS_COLUMNS: Final = _tables(DATABRICKS_EVENTS)
HTTP_COLUMNS: Final[Columns] = {"events": HTTP_EVENTS}
