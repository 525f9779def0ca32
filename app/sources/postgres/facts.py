"""What the ``sessions`` model tells of a session beyond its times: SQL that reads each of its events' properties once.

Nothing that is stored makes it fail: every property is read as text, whatever it is; empty text is no value; and what
would be too long to be anything useful is cut off.
"""

# ruff: noqa: S608  nothing but constants, numbers and typed literals

from collections.abc import Mapping
from typing import Final

from app.sources.postgres.channels import channel_type

MAX_TEXT: Final = 8192
"""Characters of any one property. Longer ones are cut there: a row stays small, whatever clients send."""
MAX_URLS: Final = 500
"""In ``urls``, the first ones. ``num_uniq_urls`` counts all."""
BOUNCE_SECONDS: Final = 10

NUMBER: Final = "^-?[0-9]{1,15}([.][0-9]{1,30})?([eE][-+]?[0-9]{1,2})?$"
"""What surely is a double precision number."""
SCHEME: Final = "^[A-Za-z][A-Za-z0-9+.-]*://"
HOST: Final = rf"{SCHEME}(?:[^/?#@]*@)?(\[[^]/?#]*\]|[^/?#:]*)"
PATH: Final = f"{SCHEME}[^/?#]*/?([^?#]*)"
UUID_V7: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"

ENTRY_PARAMETERS: Final = (
    "utm_source", "utm_campaign", "utm_medium", "utm_term", "utm_content", "gclid", "fbclid", "gad_source", "gclsrc",
    "dclid", "gbraid", "wbraid", "msclkid", "twclid", "li_fat_id", "mc_cid", "igshid", "ttclid", "_kx", "irclid",
)  # fmt: skip
"""Of the address by which somebody came, and properties of the same name."""

PROPERTIES: Final[Mapping[str, str]] = {
    "url": "$current_url",
    "path": "$pathname",
    "host": "$host",
    "domain": "$referring_domain",
    "external_url": "$external_click_url",
    "lcp": "$web_vitals_LCP_value",
    **{name: name for name in ENTRY_PARAMETERS},
}
"""By the name they are read under."""


def _first(value: str) -> str:
    """Of the first event that has a value."""
    return f'(min(ARRAY[place COLLATE "C", {value}]) FILTER (WHERE {value} IS NOT NULL))[2]'


def _last(value: str) -> str:
    return f'(max(ARRAY[place COLLATE "C", {value}]) FILTER (WHERE {value} IS NOT NULL))[2]'


def _named(name: str) -> str:
    return f"count(*) FILTER (WHERE event = '{name}')"


_AGGREGATES: Final[Mapping[str, str]] = {
    "distinct_id": _last("distinct_id"),
    "start_timestamp": "min(timestamp)",
    "end_timestamp": "max(timestamp)",
    "urls": f"array_agg(url ORDER BY number) FILTER (WHERE url_is_new AND urls_yet <= {MAX_URLS})",
    "num_uniq_urls": "count(*) FILTER (WHERE url_is_new)",
    "first_url": _first("url"),
    "first_path": _first("path"),
    "first_host": _first("host"),
    "last_url": _last("url"),
    "last_path": _last("path"),
    "last_host": _last("host"),
    "domain": _first("domain"),
    "external_url": _last("external_url"),
    "lcp": _first("lcp"),
    "pageviews": _named("$pageview"),
    "autocaptures": _named("$autocapture"),
    "screens": _named("$screen"),
    **{name: _first(name) for name in ENTRY_PARAMETERS},
}


def _host(place: str) -> str:
    """Of the address; or what events say themselves, where there is none."""
    return f"coalesce(nullif(substring(facts.{place}_url from '{HOST}'), ''), facts.{place}_host)"


def _path(place: str) -> str:
    return f"coalesce('/' || substring(facts.{place}_url from '{PATH}'), facts.{place}_path)"


_SECONDS: Final = "floor(extract(epoch FROM facts.end_timestamp - facts.start_timestamp))::bigint"
_SEEN: Final = "facts.pageviews + facts.screens"

FACTS: Final[Mapping[str, str]] = {
    "session_id_v7": f"CASE WHEN session.session_id ~* '{UUID_V7}' THEN lower(session.session_id) END",
    "distinct_id": "facts.distinct_id",
    "start_timestamp": "facts.start_timestamp",
    "end_timestamp": "facts.end_timestamp",
    "urls": "coalesce(facts.urls, '{}')",
    "num_uniq_urls": "facts.num_uniq_urls",
    "entry_current_url": "facts.first_url",
    "entry_pathname": _path("first"),
    "entry_hostname": _host("first"),
    "end_current_url": "facts.last_url",
    "end_pathname": _path("last"),
    "end_hostname": _host("last"),
    "exit_current_url": "facts.last_url",
    "exit_pathname": _path("last"),
    "entry_referring_domain": "facts.domain",
    **{f"entry_{name}": f"facts.{name}" for name in ENTRY_PARAMETERS},
    "pageview_count": "facts.pageviews",
    "autocapture_count": "facts.autocaptures",
    "screen_count": "facts.screens",
    "page_screen_autocapture_count_up_to": f"least({_SEEN} + facts.autocaptures, 2)",
    "channel_type": channel_type(
        source="facts.utm_source",
        medium="facts.utm_medium",
        campaign="facts.utm_campaign",
        domain="facts.domain",
        search_click="coalesce(facts.gclid, facts.gad_source, facts.msclkid)",
        social_click="coalesce(facts.fbclid, facts.twclid, facts.li_fat_id, facts.igshid, facts.ttclid)",
    ),
    "session_duration": _SECONDS,
    "duration": _SECONDS,
    # Of a session in which nothing was looked at, nobody can say.
    "is_bounce": f"CASE WHEN {_SEEN} > 0 THEN "
    f"{_SEEN} = 1 AND facts.autocaptures = 0 AND {_SECONDS} < {BOUNCE_SECONDS} END",
    "last_external_click_url": "facts.external_url",
    "vitals_lcp": "facts.lcp::float8",
}
"""Columns of the model, by what :func:`facts` gives as ``facts``."""


def facts(of_session: str) -> str:
    """A subquery of one row: the facts of the events for which the condition ``of_session`` holds.

    Nothing is gathered but the list of addresses: of each value only the first or last so far is kept, however many
    events there are.
    """
    aggregates = ", ".join(f"{expression} AS {name}" for name, expression in _AGGREGATES.items())
    properties = ", ".join(_property(name) for name in PROPERTIES)
    record = ", ".join(f'"{name}" text' for name in PROPERTIES.values())
    return f"""
        SELECT {aggregates} FROM (
            SELECT *, count(*) FILTER (WHERE url_is_new) OVER (ORDER BY number) AS urls_yet,
                   lpad(number::text, 12, '0') AS place
            FROM (
                SELECT *, url IS NOT NULL AND row_number() OVER (PARTITION BY url ORDER BY number) = 1 AS url_is_new
                FROM (
                    SELECT event, distinct_id, timestamp, {properties},
                           row_number() OVER (ORDER BY timestamp, uuid) AS number
                    FROM (SELECT * FROM event_store.events WHERE {of_session}) AS event
                    CROSS JOIN LATERAL json_to_record(event_store.readable(properties)) AS property ({record})
                ) AS numbered
            ) AS marked
        ) AS placed
    """


def _property(name: str) -> str:
    value = f"left(nullif(property.\"{PROPERTIES[name]}\", ''), {MAX_TEXT})"
    match name:
        case "external_url":
            value = f"CASE WHEN event = '$autocapture' THEN {value} END"
        case "lcp":
            value = f"CASE WHEN {value} ~ '{NUMBER}' THEN {value} END"
    return f"{value} AS {name}"
