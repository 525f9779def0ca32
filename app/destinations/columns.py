"""Which columns of a model a family of destinations stores (the contract's section 9.1)."""

FILE_COLUMNS = (
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
"""The S3 family and file downloads."""

AZURE_COLUMNS = (
    "uuid",
    "team_id",
    "event",
    "properties",
    "distinct_id",
    "timestamp",
    "_inserted_at",
    "azure_blob_ingested_timestamp",
)

TABLE_COLUMNS = (
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
"""Postgres, Redshift, BigQuery; Snowflake under other names."""

SNOWFLAKE_COLUMNS = tuple(
    {"set": "people_set", "set_once": "people_set_once"}.get(name, name) for name in TABLE_COLUMNS
)

BIGQUERY_COLUMNS = (*TABLE_COLUMNS, "bq_ingested_timestamp")

DATABRICKS_COLUMNS = (
    "uuid",
    "event",
    "properties",
    "person_properties",
    "distinct_id",
    "team_id",
    "timestamp",
    "databricks_ingested_timestamp",
)

HTTP_COLUMNS = ("uuid", "timestamp", "event", "properties", "distinct_id", "elements_chain")
