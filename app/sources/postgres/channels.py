"""Where a session came from: its ``channel_type``, by a few rules on how it was entered. The first that holds is it."""

from collections.abc import Mapping, Sequence
from typing import Final

KINDS: Final[Mapping[str, Sequence[str]]] = {
    "Search": (
        "google", "bing", "duckduckgo", "yahoo", "baidu", "yandex", "ecosia", "qwant", "startpage", "naver", "seznam",
        "kagi", "sogou", "aol", "search[.]brave",
    ),
    "Social": (
        "facebook", "fb", "instagram", "ig", "twitter", "x", "t[.]co", "linkedin", "lnkd", "reddit", "pinterest",
        "tiktok", "snapchat", "threads", "mastodon", "bsky", "quora", "vk", "tumblr", "whatsapp", "telegram",
        "discord", "news[.]ycombinator",
    ),
    "Video": ("youtube", "youtu", "vimeo", "twitch", "dailymotion"),
    "Shopping": ("amazon", "ebay", "etsy", "shopping", "alibaba", "walmart"),
}  # fmt: skip
MAIL: Final = ("e-?mail", "mail", "webmail", "newsletter", "outlook", "mailchimp", "klaviyo", "sendgrid")
"""Of sources and referring domains, whole parts between dots: ``google`` is in ``www.google.co.uk``."""

PAID: Final = "cp[acmv]|ppc|retargeting|display|banner|paid([-_ ].*)?|.*[-_ ]paid"
MEDIA: Final[Mapping[str, str]] = {
    "Affiliate": "affiliates?",
    "Audio": "audio|podcast",
    "SMS": "sms",
    "Push": "push|web-?push|mobile-?push|.*notification",
}
"""Media that are channels by themselves."""
SOCIAL_MEDIA: Final = "social([-_ ]?(media|network))?|sm"
REFERRALS: Final = "referral|link|app"
DIRECT: Final = "('', 'direct', '(direct)')"


def channel_type(*, source: str, medium: str, campaign: str, domain: str, search_click: str, social_click: str) -> str:
    """SQL of the channel, of SQL of texts that may be null: the entry's ``utm_source``, ``utm_medium``,
    ``utm_campaign`` and referring domain, and the ids that search engines and social networks give to clicks."""
    place = f"lower(coalesce({source}, nullif({domain}, '$direct'), ''))"
    medium = f"lower(coalesce({medium}, ''))"
    paid = f"({medium} ~ '^({PAID})$' OR {search_click} IS NOT NULL)"
    of_kind = {kind: _within(place, names) for kind, names in KINDS.items()}
    cases = [
        (f"lower({campaign}) = 'cross-network'", "Cross Network"),
        *((f"{paid} AND {held}", f"Paid {kind}") for kind, held in of_kind.items()),
        (f"{search_click} IS NOT NULL", "Paid Search"),
        (paid, "Paid Unknown"),
        (f"{medium} ~ '^({'|'.join(MAIL)})s?$' OR {_within(place, MAIL)}", "Email"),
        *((f"{medium} ~ '^({pattern})$'", channel) for channel, pattern in MEDIA.items()),
        *((held, f"Organic {kind}") for kind, held in of_kind.items()),
        (f"{medium} ~ '^({SOCIAL_MEDIA})$' OR {social_click} IS NOT NULL", "Organic Social"),
        (f"{medium} = 'organic'", "Organic Search"),
        (f"{place} IN {DIRECT} AND {medium} IN ('', '(none)') AND ({domain} = '$direct' OR {place} <> '')", "Direct"),
        (f"{medium} ~ '^({REFERRALS})$' OR {domain} <> '$direct'", "Referral"),
    ]
    whens = " ".join(f"WHEN {condition} THEN '{channel}'" for condition, channel in cases)
    return f"CASE {whens} ELSE 'Unknown' END"


def _within(place: str, names: Sequence[str]) -> str:
    return f"{place} ~ '(^|[.])({'|'.join(names)})([.]|$)'"
