"""What callers of the API may do."""

from datetime import timedelta

from pydantic import Field

from app.settings.kinds import Group, Seconds


class ApiSettings(Group):
    api_max_body_bytes: int = Field(1024 * 1024, ge=1024, description="A larger request body is answered with 413.")


class LimitSettings(Group):
    rate_limit_per_minute: int = Field(
        0, ge=0, description="Requests of one API key per minute; more are answered with 429. 0 is no limit."
    )
    max_concurrent_backfills: int = Field(
        5, ge=1, description="Unfinished backfills of one project; one more is answered with 429."
    )
    verify_time_limit: Seconds = Field(
        timedelta(seconds=60),
        description="How long a request may verify a run; `batch-exports runs verify` takes as long as it takes.",
    )
    preview_time_limit: Seconds = Field(
        timedelta(seconds=15),
        description="How long a preview may look at the event store; what it has not found by then is left out.",
    )
