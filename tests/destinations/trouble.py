"""Requests that fail, files large enough to fail in the middle, and what must be left of them: nothing."""

from collections.abc import Awaitable, Callable

import pytest

from app.destinations.objects import upload
from tests.destinations.harness import S3Harness
from tests.destinations.rows import Tape, make_batch
from tests.destinations.s3_proxy import Request, Verdict

Judge = Callable[[Request], Awaitable[Verdict]]


def failing(operation: str, verdict: Verdict, *, times: int = 10**6, part: int | None = None) -> Judge:
    """A judge that lets a number of requests of one kind fail, and everything else through."""
    failed = 0

    async def judge(request: Request) -> Verdict:
        nonlocal failed
        if request.operation == operation and (part is None or request.part == part) and failed < times:
            failed += 1
            return verdict
        return None

    return judge


def knowing_no_conditions(reply: Verdict) -> Judge:
    """A store that answers so to every conditional request."""

    async def judge(request: Request) -> Verdict:
        return reply if request.condition is not None else None

    return judge


def three_parts(monkeypatch: pytest.MonkeyPatch) -> Tape:
    monkeypatch.setattr(upload, "PART_BYTES", 5 * 1024 * 1024)
    return Tape([make_batch(first, 1, size=1024 * 1024) for first in range(12)])


async def assert_nothing_left(s3: S3Harness, tape: Tape) -> None:
    assert await s3.visible() == {}
    assert await s3.unfinished() == []
    assert not tape.open
