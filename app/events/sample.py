"""Made-up web analytics, for the demo and the benchmarks: the same seed gives the same events, byte by byte."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

PAGES = ("/", "/pricing", "/docs", "/docs/api", "/blog", "/blog/launch", "/login", "/signup", "/account", "/changelog")
REFERRERS = ("$direct", "www.google.com", "duckduckgo.com", "news.ycombinator.com", "github.com", "www.linkedin.com")
BROWSERS = (("Chrome", 131), ("Safari", 18), ("Firefox", 133), ("Microsoft Edge", 131), ("Samsung Internet", 27))
SYSTEMS = (("Windows", "10"), ("Mac OS X", "10.15.7"), ("iOS", "18.1"), ("Android", "15"), ("Linux", ""))
SCREENS = ((1920, 1080), (1440, 900), (390, 844), (412, 915), (2560, 1440))
CITIES = (("Berlin", "DE"), ("São Paulo", "BR"), ("東京", "JP"), ("Zürich", "CH"), ("New York", "US"), ("Łódź", "PL"))
PLANS = ("free", "team", "business")
EVENTS = (
    ("$pageview", 60),
    ("$autocapture", 22),
    ("$pageleave", 12),
    ("signed_up", 1),
    ("plan_upgraded", 1),
    ("search", 4),
)
NAMES, WEIGHTS = zip(*EVENTS, strict=True)
EVENTS_PER_PERSON = 25

_encode = msgspec.json.Encoder().encode


def sample_lines(count: int, start: datetime, end: datetime, seed: int = 1) -> Iterator[bytes]:
    """``count`` events as lines of JSON, about 500 bytes each, in the order of their time, spread over [start, end)."""
    chance = random.Random(seed)  # noqa: S311  made-up data
    people = max(1, count // EVENTS_PER_PERSON)
    step = (end - start) / max(count, 1)
    for number in range(count):
        moment = start + number * step + chance.random() * step
        yield _encode(_event(chance, moment, chance.randrange(people))) + b"\n"


def _event(chance: random.Random, moment: datetime, person: int) -> dict[str, Any]:
    name = chance.choices(NAMES, WEIGHTS)[0]
    page, (browser, version) = chance.choice(PAGES), BROWSERS[person % len(BROWSERS)]
    system, system_version = SYSTEMS[person % len(SYSTEMS)]
    width, height = SCREENS[person % len(SCREENS)]
    city, country = CITIES[person % len(CITIES)]
    properties: dict[str, Any] = {
        "$current_url": f"https://www.example.com{page}",
        "$pathname": page,
        "$browser": browser,
        "$browser_version": version,
        "$os": system,
        "$os_version": system_version,
        "$screen_width": width,
        "$screen_height": height,
        "$referring_domain": chance.choice(REFERRERS),
        "$geoip_city_name": city,
        "$geoip_country_code": country,
        "$session_id": f"{person:08x}-{moment:%j%H}",
        "$lib": "web",
        "$sent_at": (moment + timedelta(milliseconds=chance.randrange(3000))).isoformat(),
    }
    match name:
        case "$autocapture":
            properties |= {"$event_type": "click", "$el_text": f"Read “{page}”", "x": chance.random() * width}
        case "$pageleave":
            properties |= {"$prev_pageview_duration": round(chance.expovariate(1 / 40), 3)}
        case "signed_up" | "plan_upgraded":
            properties |= {"plan": chance.choice(PLANS), "seats": chance.randrange(1, 50), "$set": {"plan": "team"}}
        case "search":
            properties |= {"query": f"how to {chance.choice(PAGES)[1:] or 'start'}", "results": chance.randrange(100)}
    return {
        "uuid": str(UUID(int=chance.getrandbits(128), version=4)),
        "event": name,
        "distinct_id": f"user-{person:07}",
        "timestamp": moment.isoformat(),
        "properties": properties,
    }
