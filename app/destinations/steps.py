"""Connection tests: what a destination can try out before an export relies on it (the contract's section 11).

A step never raises, and its message never holds a secret.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Self

from app.destinations.proposal import Linked, overlay
from app.network import Network

NOT_CONFIGURED: Final = "The test step cannot run as it's not configured."
LIMIT: Final = 60.0
"""Seconds that a step may take, for a request waits for it."""


@dataclass(frozen=True, slots=True)
class StepResult:
    status: Literal["Passed", "Failed", "Skipped"]
    message: str | None = None

    @classmethod
    def passed(cls) -> Self:
        return cls("Passed")

    @classmethod
    def failed(cls, message: str) -> Self:
        return cls("Failed", message)

    @classmethod
    def skipped(cls, message: str) -> Self:
        return cls("Skipped", message)


@dataclass(frozen=True, slots=True)
class Trial:
    """What a step is run with: a config that passed all checks, and where it may connect to."""

    config: Mapping[str, Any] = field(repr=False)
    network: Network = field(repr=False)
    now: datetime
    integration: Linked | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The integration's over the config's."""
        return overlay(self.config, self.integration)


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    description: str
    run: Callable[[Trial], Awaitable[StepResult]]
    needs: Sequence[str] = ()
    """Settings without which it cannot be tried."""


async def run_step(step: Step, trial: Trial) -> StepResult:
    """How the step went, whatever happens in it."""
    settings = trial.settings
    if any(settings.get(key) in (None, "") for key in step.needs):
        return StepResult.failed(NOT_CONFIGURED)
    try:
        async with asyncio.timeout(LIMIT):
            return await step.run(trial)
    except Exception as error:
        # The class alone: what an SDK says may repeat the credentials.
        return StepResult.failed(f"The test step failed with an unknown error: {type(error).__name__}")


def unbuilt(name: str, description: str) -> Step:
    """A step of the contract that comes with the delivery to its type."""

    async def run(trial: Trial) -> StepResult:
        return StepResult.failed("this version cannot run this step yet")

    return Step(name, description, run)
