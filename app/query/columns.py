"""What the table ``events`` has, as queries and filters see it."""

from collections.abc import Mapping
from typing import Final

from app.query.tree import Column, Type

COLUMNS: Final[Mapping[str, Column]] = {
    name: Column(name, kind)
    for name, kind in (
        ("uuid", Type.UUID),
        ("event", Type.STRING),
        ("properties", Type.JSON),
        ("distinct_id", Type.STRING),
        ("person_id", Type.UUID),
        ("person_properties", Type.JSON),
        ("elements_chain", Type.STRING),
        ("timestamp", Type.DATETIME),
        ("created_at", Type.DATETIME),
        ("team_id", Type.INTEGER),
    )
}

PERSON: Final[Mapping[str, str]] = {"id": "person_id", "properties": "person_properties"}
"""What of ``person`` is stored on the event itself."""

UNREADABLE: Final = frozenset(
    {
        "$group_0",
        "$group_1",
        "$group_2",
        "$group_3",
        "$group_4",
        "$session_id",
        "$session_id_uuid",
        "$virt_is_bot",
        "$window_id",
        "elements_chain_elements",
        "elements_chain_href",
        "elements_chain_ids",
        "elements_chain_texts",
        "event_issue_id",
        "event_person_id",
        "group_0",
        "group_1",
        "group_2",
        "group_3",
        "group_4",
        "historical_migration",
        "inserted_at",
        "issue_id",
        "override",
        "pdi",
        "person",
        "person_mode",
        "poe",
        "session",
    }
)
"""Fields of HogQL's ``events`` that are known to be there, and are not exported."""
