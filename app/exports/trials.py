"""Trying out a destination before an export relies on it (the contract's section 11). Nothing is stored."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.destinations import DESTINATIONS
from app.destinations.steps import Step, Trial, run_step
from app.errors import ValidationFailed
from app.exports.facts import Before, Facts
from app.exports.rules import check_destination, check_fields, interval_offset
from app.exports.schemas import EXAMPLE, DestinationWrite, ExportWrite, Whole
from app.exports.service import ExportService
from app.http.body import Draft
from app.models import Model
from app.network import Network
from app.tenants.access import Access
from app.unit import Unit

StepNumber = Annotated[Whole, Field(description="Which of the destination's steps, from 0.")]


class NewTrial(ExportWrite):
    """A create, of which only the destination is tried out."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**EXAMPLE, "step": 0}]})

    step: StepNumber = 0


class StoredDestination(DestinationWrite):
    """What is stored is laid under what is sent: secrets can be left out."""

    overlaid: ClassVar[bool] = True


class StoredTrial(NewTrial):
    destination: StoredDestination


class StepResultRead(BaseModel):
    status: Literal["Passed", "Failed", "Skipped"]
    message: str | None = Field(description="Null when it passed.")


class StepRead(BaseModel):
    name: str
    description: str
    result: StepResultRead | None


class StepsRead(BaseModel):
    steps: list[StepRead]


def steps_of(destination_type: str) -> StepsRead | None:
    """The steps of a type, none of them run; None for a type that has no connection test."""
    destination = DESTINATIONS.get(destination_type)
    if destination is None or not destination.steps:
        return None
    steps = [StepRead(name=one.name, description=one.description, result=None) for one in destination.steps]
    return StepsRead(steps=steps)


class TrialService:
    def __init__(self, unit: Unit, access: Access) -> None:
        self._unit = unit
        self._exports = ExportService(unit, access)
        self._facts = Facts(unit, access)

    async def of_new(self, body: Draft[NewTrial]) -> StepRead:
        """:raises ValidationFailed: as a create of the same body would, or for a step that is none."""
        fields = await self._facts.check(body)
        return await self._run(fields, None)

    async def of_stored(self, export_id: UUID, body: Draft[StoredTrial]) -> StepRead:
        """:raises ValidationFailed: as for a new export, and for a changed type of destination."""
        before = self._exports.before(await self._exports.get(export_id))
        fields = await self._facts.check(body, before)
        return await self._run(fields, before)

    async def _run(self, fields: NewTrial, before: Before | None) -> StepRead:
        model = before.model if before is not None else fields.model or Model.EVENTS
        check_destination(fields.destination.type, model)
        check_fields(fields, model)
        interval_offset(fields, fields.interval, None, reset=True)
        step = _pick(DESTINATIONS[fields.destination.type].steps, fields.step, fields.destination.type)
        runtime = self._unit.runtime
        trial = Trial(
            fields.destination.config, Network.of(runtime.settings), runtime.clock(), fields.destination.linked
        )
        # The step may wait for somebody else's server; no connection to the database waits with it.
        await self._unit.session.commit()
        result = await run_step(step, trial)
        return StepRead(
            name=step.name,
            description=step.description,
            result=StepResultRead(status=result.status, message=result.message),
        )


def _pick(steps: Sequence[Step], number: int, destination_type: str) -> Step:
    if not steps:
        raise ValidationFailed(f"{destination_type} destinations have no test steps.", attr="step")
    if not 0 <= number < len(steps):
        raise ValidationFailed(
            f"There is no test step {number}: {destination_type} destinations have steps 0 to {len(steps) - 1}.",
            attr="step",
        )
    return steps[number]
