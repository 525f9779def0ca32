"""The error tree.

::

    BatchExportsError
    ├── ApiError                    has an HTTP status, a type, a code and an attr: one error body of the contract
    │   ├── ValidationFailed        400 validation_error
    │   ├── MalformedRequest        400 invalid_request / parse_error
    │   ├── NotAuthenticated        401
    │   ├── PermissionDenied        403
    │   ├── NotFound                404
    │   ├── MethodNotAllowed        405
    │   ├── BodyTooLarge            413
    │   ├── TooManyRequests         429
    │   │   ├── RateLimited         says when to come back
    │   │   └── TooManyConcurrentBackfills
    │   └── Unavailable             503
    ├── StoreUnavailable            events cannot be stored just now; the same ones may be sent again
    ├── SetupError                  the process cannot start or a command cannot go on; one line says why
    └── RunError                    what ended an attempt at a run; says itself whether another attempt may help
        ├── Retryable               a later attempt may succeed
        │   ├── Transient           network, restart, time-out
        │   ├── Throttled           the other side asks us to slow down
        │   ├── SourceUnavailable   the event store does not answer
        │   ├── Unsettled           rows of the window may still be committed to the event store
        │   └── Defect              ours: a bug; tried again, for what brought it out may pass
        └── Terminal                the same attempt would fail again
            ├── Misconfigured       settings or permissions of the destination must be changed first
            ├── DataError           rows that the destination cannot take
            ├── Unsupported         this version cannot do what the export asks for
            ├── NoLongerKept        the event store has deleted rows of the interval
            └── TimedOut            it took longer than runs of its interval may

The intake's own, which SDKs understand, are in :mod:`app.intake.errors`.

``LeaseLost`` is none of these: the run belongs to another worker, so nothing may be recorded.
"""

from typing import ClassVar


class BatchExportsError(Exception):
    """Anything this service raises on purpose."""


class ApiError(BatchExportsError):
    """An answer of the API, as the contract's section 1.3 words it."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    default_code: ClassVar[str] = "error"
    default_detail: ClassVar[str] = "A server error occurred."

    def __init__(self, detail: str | None = None, *, code: str | None = None, attr: str | None = None) -> None:
        self.detail = detail or self.default_detail
        self.code = code or self.default_code
        self.attr = attr
        super().__init__(self.detail)

    def body(self) -> dict[str, str | None]:
        return {"type": self.type, "code": self.code, "detail": self.detail, "attr": self.attr}


class ValidationFailed(ApiError):
    status = 400
    type = "validation_error"
    default_code = "invalid_input"
    default_detail = "Invalid input."


class MalformedRequest(ApiError):
    status = 400
    type = "invalid_request"
    default_code = "parse_error"
    default_detail = "Malformed request."


class NotAuthenticated(ApiError):
    status = 401
    type = "authentication_error"
    default_code = "not_authenticated"
    default_detail = "Authentication credentials were not provided."


class PermissionDenied(ApiError):
    status = 403
    type = "authentication_error"
    default_code = "permission_denied"
    default_detail = "You do not have permission to perform this action."


class NotFound(ApiError):
    status = 404
    type = "invalid_request"
    default_code = "not_found"
    default_detail = "Not found."


class MethodNotAllowed(ApiError):
    status = 405
    type = "invalid_request"
    default_code = "method_not_allowed"
    default_detail = "Method not allowed."


class BodyTooLarge(ApiError):
    status = 413
    type = "invalid_request"
    default_code = "request_too_large"
    default_detail = "The request body is too large."


class TooManyRequests(ApiError):
    status = 429
    type = "throttled_error"
    default_code = "throttled"
    default_detail = "Request was throttled."


class RateLimited(TooManyRequests):
    """``retry_after`` is in whole seconds."""

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        plural = "" if retry_after == 1 else "s"
        super().__init__(f"Request was throttled. Expected available in {retry_after} second{plural}.")


class TooManyConcurrentBackfills(TooManyRequests):
    type = "server_error"
    default_code = "too_many_concurrent_backfills"


class Unavailable(ApiError):
    status = 503
    type = "server_error"
    default_code = "service_unavailable"
    default_detail = "The service cannot reach its database just now. Try again shortly."


class StoreUnavailable(BatchExportsError):
    """The event store does not answer, or went away while events were being stored. What it confirmed is stored."""


class SetupError(BatchExportsError):
    """A process cannot start, or a command cannot go on. The message is one line and says what to do."""


class RunError(BatchExportsError):
    """What ended an attempt at a run. ``message`` names the cause and never holds a secret.

    ``error_class`` is the one word kept in the run's row; retry policy and alerts read it.
    """

    error_class: ClassVar[str]
    retryable: ClassVar[bool]

    def __init__(self, message: str) -> None:
        self.message = message.replace("\x00", "")
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{type(self).__name__}: {self.message}"


class Retryable(RunError):
    """A later attempt may succeed."""

    retryable = True


class Transient(Retryable):
    error_class = "transient"


class Throttled(Retryable):
    error_class = "throttled"


class SourceUnavailable(Retryable):
    error_class = "source"


class Unsettled(Retryable):
    error_class = "source"


class Defect(Retryable):
    error_class = "defect"


class Terminal(RunError):
    """The same attempt would fail again."""

    retryable = False


class Misconfigured(Terminal):
    error_class = "configuration"


class DataError(Terminal):
    error_class = "data"


class Unsupported(Terminal):
    error_class = "unsupported"


class NoLongerKept(Terminal):
    """The event store has deleted rows of the interval: what was exported of it is all there is."""

    error_class = "retention"


class TimedOut(Terminal):
    error_class = "timeout"


class LeaseLost(BatchExportsError):
    """The run is another worker's now, or was cancelled: stop at once and record nothing."""
