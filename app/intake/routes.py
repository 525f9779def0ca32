"""Where SDKs send events. No key is needed: whoever has a project's token may add to it, and read nothing."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from app.http.errors import ErrorBody
from app.intake import empty, paths
from app.intake.errors import Busy, NotStored, UnreadableBody
from app.intake.service import Intake, Sent

WRONG: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ErrorBody, "description": description}
    for status, description in (
        (400, "The body is no JSON, however it is unpacked."),
        (401, "It names no project, or none that there is."),
        (408, "It took too long to arrive; to be sent again."),
        (413, "It is too large, or has too many events."),
        (503, "Nothing of it can be counted on; to be sent again after `Retry-After` seconds."),
        ("default", "Any other error."),
    )
}
FEW_WRONG: Final = {status: WRONG[status] for status in (400, "default")}
EVENT: Final[dict[str, Any]] = {
    "api_key": "phc_…",
    "event": "signed_up",
    "distinct_id": "ada",
    "timestamp": "2026-11-01T12:00:00Z",
    "uuid": "0190a5f0-7a2e-7c9b-8d1e-3f4a5b6c7d8e",
    "properties": {"plan": "team", "$set": {"email": "ada@example.com"}},
}
BATCH: Final[dict[str, Any]] = {
    "api_key": "phc_…",
    "sent_at": "2026-11-01T12:00:01Z",
    "batch": [{key: value for key, value in EVENT.items() if key != "api_key"}],
}
BODY: Final = {
    "requestBody": {
        "description": "One event, a list of events, or an object with a `batch` of them; as JSON, perhaps compressed "
        "with gzip, in base64, or as the field `data` of a form.",
        "content": {
            "application/json": {
                "schema": {"anyOf": [{"type": "object"}, {"type": "array", "items": {}}]},
                "examples": {"batch": {"value": BATCH}, "event": {"value": EVENT}},
            }
        },
    }
}

router = APIRouter(tags=["intake"])


class Taken(BaseModel):
    status: Literal[1] = 1


class TakenNewer(BaseModel):
    status: Literal["Ok"] = "Ok"


class Flags(BaseModel):
    """There are none. What else is in it depends on the version."""

    errorsWhileComputingFlags: bool  # noqa: N815  the name that SDKs read


async def busy(request: Request, error: Exception) -> JSONResponse:
    """The answer to :class:`Busy`."""
    assert isinstance(error, Busy)
    return JSONResponse(error.body(), error.status, {"Retry-After": str(error.retry_after)})


async def _take(request: Request) -> None:
    intake: Intake | None = getattr(request.app.state, "intake", None)
    if intake is None:
        raise NotStored
    query = request.query_params
    await intake.take(
        Sent(
            body=_pieces(request),
            encoding=request.headers.get("Content-Encoding", ""),
            token=query.get("token") or query.get("api_key"),
            sent_at=query.get("sent_at") or query.get("_"),
        )
    )


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.stream():
            if piece:
                yield piece
    except ClientDisconnect:
        # Nobody reads the answer; but an unexpected error it is not.
        raise UnreadableBody("The request ended before its body did.") from None


async def send_events(request: Request) -> Taken:
    """Answered once all events are committed. What is wrong with single ones is in the project's ingestion errors."""
    await _take(request)
    return Taken()


async def send_events_newer(request: Request) -> TakenNewer:
    """Answered once all events are committed. What is wrong with single ones is in the project's ingestion errors."""
    await _take(request)
    return TakenNewer()


async def no_flags(
    request: Request,
    v: Annotated[str | None, Query(description="Version of the document.")] = None,
    config: Annotated[str | None, Query(description="`true` for the configuration as well.")] = None,
) -> JSONResponse:
    """There are no feature flags here; SDKs start quietly with none."""
    with suppress(ClientDisconnect):
        async for _ in request.stream():
            pass
    return JSONResponse(empty.flags(v, config=config == "true"))


Token = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{1,200}$", description="A project's token.")]


@router.get(paths.CONFIG, summary="Read the configuration of browsers", responses=FEW_WRONG)
async def browser_config(token: Token) -> dict[str, Any]:
    return empty.config(token)


@router.get(
    paths.SCRIPT,
    summary="Load the configuration of browsers",
    responses={200: {"content": {"text/javascript": {}}}, **FEW_WRONG},
    response_class=Response,
)
async def browser_script(token: Token) -> Response:
    return Response(empty.script(token), media_type="text/javascript")


def _add(path: str, handle: Callable[..., Awaitable[Any]], **more: Any) -> None:
    """With its slash and without: SDKs disagree."""
    name = f"{handle.__name__}_{path.strip('/').replace('/', '_')}"
    for spelt in (path, path.rstrip("/")):
        router.add_api_route(spelt, handle, methods=["POST"], name=name, include_in_schema=spelt == path, **more)


for _path in paths.OLDER:
    _add(_path, send_events, summary="Send events", responses=WRONG, openapi_extra=BODY)
for _path in paths.NEWER:
    _add(_path, send_events_newer, summary="Send events", responses=WRONG, openapi_extra=BODY)
for _path in paths.FLAGS:
    _add(_path, no_flags, summary="Read feature flags", responses=FEW_WRONG, response_model=Flags)
