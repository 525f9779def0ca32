"""The columns of every model, and their types (the contract's sections 9.1 to 9.3)."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import pyarrow as pa

from app.query.tree import Field, Type
from app.streams import json_field

MOMENT: Final = pa.timestamp("us", tz="UTC")

EVENT_COLUMNS: Final = pa.schema(
    [
        pa.field("uuid", pa.string()),
        pa.field("event", pa.string()),
        json_field("properties"),
        pa.field("distinct_id", pa.string()),
        pa.field("person_id", pa.string()),
        json_field("person_properties"),
        pa.field("elements_chain", pa.string()),
        pa.field("timestamp", MOMENT),
        pa.field("created_at", MOMENT),
        pa.field("_inserted_at", MOMENT),
        pa.field("team_id", pa.int64()),
        # Of tables: what lies within the others, under names of its own.
        pa.field("elements", pa.string()),
        json_field("set"),
        json_field("set_once"),
        json_field("people_set"),
        json_field("people_set_once"),
        pa.field("ip", pa.string()),
        pa.field("site_url", pa.string()),
        pa.field("azure_blob_ingested_timestamp", MOMENT),
        pa.field("bq_ingested_timestamp", MOMENT),
        pa.field("databricks_ingested_timestamp", MOMENT),
    ]
)


def _columns(*fields: "pa.Field[Any]") -> pa.Schema:
    return pa.schema(fields)


PERSON_COLUMNS: Final = _columns(
    pa.field("team_id", pa.int64()),
    pa.field("distinct_id", pa.string()),
    pa.field("person_id", pa.string()),
    json_field("properties"),
    pa.field("person_distinct_id_version", pa.int64()),
    pa.field("person_version", pa.int64()),
    pa.field("created_at", MOMENT),
    pa.field("is_deleted", pa.bool_()),
    pa.field("_inserted_at", MOMENT),
)

SESSION_COLUMNS: Final = _columns(
    pa.field("session_id", pa.string()),
    pa.field("session_id_v7", pa.string()),
    pa.field("team_id", pa.int64()),
    pa.field("distinct_id", pa.string()),
    pa.field("start_timestamp", MOMENT),
    pa.field("end_timestamp", MOMENT),
    pa.field("urls", pa.list_(pa.string())),
    pa.field("num_uniq_urls", pa.int64()),
    pa.field("entry_current_url", pa.string()),
    pa.field("entry_pathname", pa.string()),
    pa.field("entry_hostname", pa.string()),
    pa.field("end_current_url", pa.string()),
    pa.field("end_pathname", pa.string()),
    pa.field("end_hostname", pa.string()),
    pa.field("entry_utm_source", pa.string()),
    pa.field("entry_utm_campaign", pa.string()),
    pa.field("entry_utm_medium", pa.string()),
    pa.field("entry_utm_term", pa.string()),
    pa.field("entry_utm_content", pa.string()),
    pa.field("entry_referring_domain", pa.string()),
    pa.field("entry_gclid", pa.string()),
    pa.field("entry_fbclid", pa.string()),
    pa.field("entry_gad_source", pa.string()),
    pa.field("pageview_count", pa.int64()),
    pa.field("autocapture_count", pa.int64()),
    pa.field("screen_count", pa.int64()),
    pa.field("channel_type", pa.string()),
    pa.field("session_duration", pa.int64()),
    pa.field("duration", pa.int64()),
    pa.field("is_bounce", pa.bool_()),
    pa.field("last_external_click_url", pa.string()),
    pa.field("page_screen_autocapture_count_up_to", pa.int64()),
    pa.field("exit_current_url", pa.string()),
    pa.field("exit_pathname", pa.string()),
    pa.field("vitals_lcp", pa.float64()),
    pa.field("entry_gclsrc", pa.string()),
    pa.field("entry_dclid", pa.string()),
    pa.field("entry_gbraid", pa.string()),
    pa.field("entry_wbraid", pa.string()),
    pa.field("entry_msclkid", pa.string()),
    pa.field("entry_twclid", pa.string()),
    pa.field("entry_li_fat_id", pa.string()),
    pa.field("entry_mc_cid", pa.string()),
    pa.field("entry_igshid", pa.string()),
    pa.field("entry_ttclid", pa.string()),
    pa.field("entry__kx", pa.string()),
    pa.field("entry_irclid", pa.string()),
    pa.field("_inserted_at", MOMENT),
)

COLUMNS: Final[Mapping[str, pa.Schema]] = {
    "events": EVENT_COLUMNS,
    "persons": PERSON_COLUMNS,
    "sessions": SESSION_COLUMNS,
}
"""Every column of a model that a destination may ask for."""

IDENTITY: Final[Mapping[str, str]] = {"events": "uuid", "persons": "distinct_id", "sessions": "session_id"}
"""The column by which rows of a model are told apart, within one project."""

REACH: Final[Mapping[str, timedelta]] = {"sessions": timedelta(days=3)}
"""How far before a window events may have come in that its rows are made of; of other models, not at all."""

TYPES: Final[Mapping[Type, "pa.DataType"]] = {
    Type.STRING: pa.string(),
    Type.INTEGER: pa.int64(),
    Type.FLOAT: pa.float64(),
    Type.BOOLEAN: pa.bool_(),
    Type.DATETIME: MOMENT,
    Type.DATE: pa.date32(),
    Type.UUID: pa.string(),
    Type.STRINGS: pa.list_(pa.string()),
    Type.NULL: pa.string(),
}
"""Of columns that are computed."""


def field_of(field: Field) -> "pa.Field[Any]":
    """The column that a field of a select list becomes."""
    kind = field.expression.type
    return json_field(field.alias) if kind == Type.JSON else pa.field(field.alias, TYPES[kind])
