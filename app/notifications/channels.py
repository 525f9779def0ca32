"""The ways a notification can go, and how an attempt at one of them fails."""

from enum import StrEnum


class Channel(StrEnum):
    WEBHOOK = "webhook"
    EMAIL = "email"


class DeliveryFailed(Exception):
    """An attempt failed. The reason is shown to people: it says what to do, and repeats nothing that others said.

    ``final``: no other attempt would go better.
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        self.reason = reason
        self.final = final
        super().__init__(reason)
