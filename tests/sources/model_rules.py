"""The rules by which rows of persons and sessions come about, in plain Python: what the SQL is held against."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

SPAN = timedelta(days=3)
Row = dict[str, Any]


@dataclass(frozen=True)
class PersonVersion:
    id: UUID
    version: int
    properties: str
    created_at: datetime
    is_deleted: bool
    inserted_at: datetime


@dataclass(frozen=True)
class MappingVersion:
    distinct_id: str
    version: int
    person: UUID
    is_deleted: bool
    inserted_at: datetime


def persons(
    team: int,
    people: Sequence[PersonVersion],
    mappings: Sequence[MappingVersion],
    start: datetime | None,
    end: datetime,
) -> list[Row]:
    """The rows of a window, by distinct id: the newest versions that had arrived before its end, where either of the
    two arrived in it."""
    rows = []
    for distinct_id in sorted({mapping.distinct_id for mapping in mappings}):
        mapping = _newest([one for one in mappings if one.distinct_id == distinct_id and one.inserted_at < end])
        if mapping is None:
            continue
        person = _newest([one for one in people if one.id == mapping.person and one.inserted_at < end])
        if person is None:
            continue
        inserted_at = max(mapping.inserted_at, person.inserted_at)
        if start is not None and inserted_at < start:
            continue
        rows.append(
            {
                "team_id": team,
                "distinct_id": distinct_id,
                "person_id": str(person.id),
                "properties": person.properties,
                "person_distinct_id_version": mapping.version,
                "person_version": person.version,
                "created_at": person.created_at,
                "is_deleted": mapping.is_deleted or person.is_deleted,
                "_inserted_at": inserted_at,
            }
        )
    return rows


def _newest(versions: Sequence[Any]) -> Any | None:
    return max(versions, key=lambda one: one.version, default=None)


@dataclass(frozen=True)
class Event:
    uuid: UUID
    event: str
    distinct_id: str
    properties: Mapping[str, Any]
    timestamp: datetime
    inserted_at: datetime

    @property
    def session_id(self) -> str | None:
        found: str | None = self.properties.get("$session_id")
        return found

    @property
    def changed_at(self) -> datetime:
        """When it changed its session: once it was ingested, and no sooner than it happened. Clocks that are days
        ahead are not waited for."""
        ahead = self.timestamp - self.inserted_at
        return self.timestamp if timedelta(0) < ahead <= SPAN else self.inserted_at


def sessions(team: int, events: Sequence[Event], start: datetime | None, end: datetime) -> list[Row]:
    """The rows of a window, by session id."""
    known = [one for one in events if one.inserted_at < end]
    rows = []
    for session_id in sorted({one.session_id for one in known if one.session_id is not None}):
        of_session = [one for one in known if one.session_id == session_id]
        row = _session(team, session_id, of_session)
        changed_at = max(one.changed_at for one in of_session)
        if changed_at < end and (start is None or changed_at >= start):
            rows.append(row)
    return rows


def _session(team: int, session_id: str, events: Sequence[Event]) -> Row:
    last = max(min(one.timestamp, one.inserted_at + SPAN) for one in events)
    counted = sorted((one for one in events if last - one.timestamp <= SPAN), key=lambda one: (one.timestamp, one.uuid))
    start, end = counted[0].timestamp, counted[-1].timestamp
    seconds = int((end - start).total_seconds())
    pages, clicks, screens = (
        sum(one.event == name for one in counted) for name in ("$pageview", "$autocapture", "$screen")
    )

    def values(name: str) -> list[str]:
        found = (_text(one.properties.get(name)) for one in counted)
        return [value for value in found if value]

    urls = values("$current_url")
    entry, leave = next(iter(urls), None), next(iter(urls[::-1]), None)
    external = [
        value
        for one in counted
        if one.event == "$autocapture" and (value := _text(one.properties.get("$external_click_url")))
    ]
    numbers = [value for value in values("$web_vitals_LCP_value") if _is_number(value)]
    return {
        "session_id": session_id,
        "team_id": team,
        "distinct_id": counted[-1].distinct_id,
        "start_timestamp": start,
        "end_timestamp": end,
        "urls": list(dict.fromkeys(urls)),
        "num_uniq_urls": len(set(urls)),
        "entry_current_url": entry,
        "entry_pathname": _of_url(entry, lambda url: urlsplit(url).path or "/", values("$pathname")),
        "entry_hostname": _of_url(entry, lambda url: urlsplit(url).hostname, values("$host")),
        "end_current_url": leave,
        "end_pathname": _of_url(leave, lambda url: urlsplit(url).path or "/", values("$pathname")[::-1]),
        "end_hostname": _of_url(leave, lambda url: urlsplit(url).hostname, values("$host")[::-1]),
        "exit_current_url": leave,
        "exit_pathname": _of_url(leave, lambda url: urlsplit(url).path or "/", values("$pathname")[::-1]),
        "entry_referring_domain": next(iter(values("$referring_domain")), None),
        "entry_utm_source": next(iter(values("utm_source")), None),
        "entry__kx": next(iter(values("_kx")), None),
        "pageview_count": pages,
        "autocapture_count": clicks,
        "screen_count": screens,
        "page_screen_autocapture_count_up_to": min(pages + clicks + screens, 2),
        "session_duration": seconds,
        "duration": seconds,
        "is_bounce": (pages + screens == 1 and clicks == 0 and seconds < 10) if pages + screens else None,
        "last_external_click_url": external[-1] if external else None,
        "vitals_lcp": float(numbers[0]) if numbers else None,
        "_inserted_at": max(end, *(one.inserted_at for one in events)),
    }


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _of_url(url: str | None, part: Callable[[str], str | None], others: Sequence[str]) -> str | None:
    found = part(url) if url is not None and "://" in url else None
    return found if found is not None else next(iter(others), None)
