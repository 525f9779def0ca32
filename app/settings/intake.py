"""How many events may come in over HTTP, how large they may be, and how long their senders wait."""

from datetime import timedelta
from typing import Final, Self

from pydantic import Field, model_validator

from app.settings.kinds import Group, Seconds

EVENT_OVERHEAD: Final = 512
"""Bytes of memory that an event takes beside its text."""


class IntakeSettings(Group):
    intake_max_body_bytes: int = Field(
        20 * 1024 * 1024,
        ge=1024,
        description="A larger request with events is answered with 413, be it larger as sent or once decompressed.",
    )
    intake_max_event_bytes: int = Field(
        1024 * 1024, ge=1024, description="A larger event is refused; the others of its request are stored."
    )
    intake_max_events: int = Field(
        50_000, ge=1, description="Events of one request; one with more is answered with 413."
    )
    intake_queue_bytes: int = Field(
        128 * 1024 * 1024,
        ge=64 * 1024,
        description="Requests with events that one process has in memory, from their first byte to their answer. While "
        "there is no room a further one is answered with 503.",
    )
    intake_connections: int = Field(
        2,
        ge=1,
        description="Connections to the event store over which one process stores events: one prepares while "
        "the other waits for the store.",
    )
    intake_linger: Seconds = Field(
        timedelta(milliseconds=5),
        ge=timedelta(0),
        description="How long an event may wait for others before they are committed together.",
    )
    intake_commit_timeout: Seconds = Field(
        timedelta(seconds=8),
        ge=timedelta(milliseconds=100),
        description="How long a request waits for its events to be stored before it is answered with 503. Shorter than "
        "clients wait: those of PostHog do so for 10 or 15 seconds.",
    )
    intake_receive_timeout: Seconds = Field(
        timedelta(seconds=60),
        ge=timedelta(seconds=1),
        description="How long a request with events may take to arrive before it is answered with 408.",
    )
    intake_token_ttl: Seconds = Field(
        timedelta(seconds=30),
        ge=timedelta(0),
        description="How long a process remembers which project a token belongs to.",
    )

    @model_validator(mode="after")
    def _the_largest_request_has_room(self) -> Self:
        # Compressed and decompressed it is in memory at the same time.
        largest = 2 * self.intake_max_body_bytes + self.intake_max_events * EVENT_OVERHEAD
        if self.intake_queue_bytes < largest:
            raise ValueError(
                f"INTAKE_QUEUE_BYTES must be at least {largest}, so that there is room for one request of "
                "INTAKE_MAX_BODY_BYTES and INTAKE_MAX_EVENTS"
            )
        return self
