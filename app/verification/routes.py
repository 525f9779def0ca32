"""Verifying a run: nested under projects and environments. No part of the contract."""

import asyncio

from fastapi import APIRouter, Request

from app.errors import NotFound, Unavailable, ValidationFailed
from app.http.access import ReadAccess
from app.http.errors import responses
from app.http.paths import ExportId, RunId
from app.http.unit import UnitOfWork
from app.runs.service import RunService
from app.verification.compare import compare, load
from app.verification.schemas import VerificationRead

AT_ONCE = 2
"""In one process. Each reads a whole run back; what the API has to bear of that is bounded."""

router = APIRouter(prefix="/batch_exports/{export_id}/runs", tags=["runs"], responses=responses())


@router.get("/{run_id}/verify/", summary="Compare what a run has left with the event store")
async def verify_run(
    request: Request, export_id: ExportId, run_id: RunId, unit: UnitOfWork, access: ReadAccess
) -> VerificationRead:
    run = await RunService(unit, access).get(export_id, run_id)
    # No connection is held while objects are read: there are few, and it takes its time.
    await unit.session.commit()
    subject = await load(unit.runtime, run.id)
    if subject is None:
        raise NotFound
    state = request.app.state
    if getattr(state, "verifying", 0) >= AT_ONCE:
        raise Unavailable(
            f"{AT_ONCE} runs are being verified here already. Try again shortly, or use: batch-exports runs verify "
            f"{run_id}"
        )
    state.verifying = getattr(state, "verifying", 0) + 1
    limit = unit.runtime.settings.verify_time_limit.total_seconds()
    try:
        async with asyncio.timeout(limit):
            return VerificationRead.of(subject, await compare(unit.runtime, subject))
    except TimeoutError:
        raise ValidationFailed(
            f"This run cannot be verified within {limit:.0f} seconds. Use: batch-exports runs verify {run_id}"
        ) from None
    finally:
        state.verifying -= 1
