"""What a worker may write to a run by virtue of a claim, to the database and to the model alike."""

from datetime import timedelta

from app.errors import Misconfigured, Transient
from app.models import RunStatus
from app.runs.claim import Claim
from app.runs.claims import ClaimRepository
from tests.factories import utc
from tests.faults.model import ClaimModel, Model

LATER = utc(2030, 1, 1)
WAIT = timedelta(hours=1)
WRITES = ("extend", "keep", "complete", "fail", "retry at once", "retry later", "hand back", "release")


async def written(claims: ClaimRepository, what: str, claim: Claim) -> bool | None:
    """What the database answers."""
    match what:
        case "extend":
            return await claims.extend(claim)
        case "keep":
            return await claims.keep(claim)
        case "complete":
            return await claims.complete(claim, 1, 1)
        case "fail":
            return await claims.fail(claim, RunStatus.FAILED, Misconfigured("no"))
        case "retry at once":
            return await claims.retry_later(claim, Transient("reset"), timedelta(0), LATER)
        case "retry later":
            return await claims.retry_later(claim, Transient("reset"), WAIT, LATER)
        case "hand back":
            return await claims.hand_back(claim)
        case _:
            await claims.release(claim)
            return None


def expected(model: Model, what: str, taken: ClaimModel) -> bool | None:
    """What the model answers."""
    match what:
        case "extend":
            return model.extend(taken)
        case "keep":
            return model.keep(taken)
        case "complete":
            return model.finish(taken, "Completed")
        case "fail":
            return model.finish(taken, "Failed")
        case "retry at once" | "retry later":
            return model.retry_later(taken, waiting=what == "retry later")
        case "hand back":
            return model.hand_back(taken)
        case _:
            model.release(taken)
            return None
