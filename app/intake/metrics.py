"""What operators see of the intake."""

from prometheus_client import Counter, Histogram

EVENTS_STORED = Counter("batch_exports_intake_events_stored_total", "Events that came over HTTP and were stored.")
EVENTS_REPEATED = Counter(
    "batch_exports_intake_events_repeated_total", "Events that came again, by their uuid, and were passed over."
)
EVENTS_WRONG = Counter(
    "batch_exports_intake_events_wrong_total", "Events with something wrong, stored without it or refused.", ["code"]
)
REQUESTS_TURNED_AWAY = Counter(
    "batch_exports_intake_requests_turned_away_total", "Requests that were answered with 503.", ["reason"]
)
COMMIT_EVENTS = Histogram(
    "batch_exports_intake_commit_events",
    "Events that were committed together.",
    buckets=(1, 3, 10, 30, 100, 300, 1000, 3000, 10000),
)
COMMIT_REQUESTS = Histogram(
    "batch_exports_intake_commit_requests",
    "Requests whose events were committed together.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
)
COMMIT_SECONDS = Histogram(
    "batch_exports_intake_commit_seconds",
    "How long storing events took that were committed together.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
