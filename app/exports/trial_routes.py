"""Connection tests: on every mount, and before the routes of single exports, whose ids their paths would pass for."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from app.exports.trials import NewTrial, StepRead, StepsRead, StoredTrial, TrialService, steps_of
from app.http.access import ReadAccess, WriteAccess
from app.http.body import BodyRoute, Draft
from app.http.errors import responses
from app.http.paths import ExportId
from app.http.unit import UnitOfWork

# The two answers of the whole API that have no body (the contract's section 1.3).
NO_TYPE: dict[str, Any] = {"model": None, "description": "No type was named."}
NO_TEST: dict[str, Any] = {"model": None, "description": "There is no connection test for the type."}

router = APIRouter(prefix="/batch_exports", tags=["connection tests"], responses=responses(413), route_class=BodyRoute)


@router.get(
    "/test/",
    summary="List the test steps of a type of destination",
    response_model=StepsRead,
    responses={400: NO_TYPE, 404: NO_TEST},
)
async def list_test_steps(
    access: ReadAccess,
    destination: Annotated[str | None, Query(description="The type of destination.")] = None,
) -> StepsRead | Response:
    if not destination:
        return Response(status_code=400)
    return steps_of(destination) or Response(status_code=404)


@router.post("/run_test_step_new/", summary="Run a test step for an export that is not there yet")
async def run_test_step_new(unit: UnitOfWork, access: WriteAccess, body: Draft[NewTrial]) -> StepRead:
    return await TrialService(unit, access).of_new(body)


@router.post("/{export_id}/run_test_step/", summary="Run a test step for an export")
async def run_test_step(
    export_id: ExportId, unit: UnitOfWork, access: WriteAccess, body: Draft[StoredTrial]
) -> StepRead:
    return await TrialService(unit, access).of_stored(export_id, body)
