"""How the intake refuses a request. Clients repeat it after 408, 429 and 5xx, and give it up after any other 4xx."""

from app.errors import ApiError, MalformedRequest, NotAuthenticated, Unavailable


class NoToken(NotAuthenticated):
    default_code = "missing_token"
    default_detail = "The request names no project: send the project's token as api_key."


class UnknownToken(NotAuthenticated):
    default_code = "invalid_token"
    default_detail = "There is no project with this token: `batch-exports projects list` shows the tokens."


class UnreadableBody(MalformedRequest):
    """What was sent is no JSON, however it is unpacked."""


class TooSlow(ApiError):
    status = 408
    type = "invalid_request"
    default_code = "request_timeout"
    default_detail = "The request took too long to arrive. Send it again."


class Busy(Unavailable):
    """Nothing, or not everything, of the request can be counted on. ``retry_after`` is in whole seconds."""

    def __init__(self, detail: str, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(detail)


class Full(Busy):
    def __init__(self) -> None:
        super().__init__("More events are waiting to be stored than this process keeps. Send them again shortly.", 1)


class NotStored(Busy):
    def __init__(self) -> None:
        super().__init__("The event store does not answer just now. Send the events again shortly.", 3)
