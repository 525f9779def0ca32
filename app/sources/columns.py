"""The columns of every model, and their types (the contract's sections 9.1 to 9.3)."""

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

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
    ]
)

COLUMNS: Final[Mapping[str, pa.Schema]] = {"events": EVENT_COLUMNS}
"""Every column of a model that a destination may ask for."""

IDENTITY: Final[Mapping[str, str]] = {"events": "uuid"}
"""The column by which rows of a model are told apart, within one project."""
