"""Exports whose schedule is live, and schedulers that come to a stop in the middle of a pass."""

from dataclasses import dataclass

from sqlalchemy import select, update

from app.models import Export, Run
from app.runtime import Runtime
from tests.faults.cases import HOUR, START, Case, add_case
from tests.faults.oracle import Oracle
from tests.worker.proxy import Proxy, Watch

INSERTED = b"RELEASE SAVEPOINT"
"""What a pass says in the middle of its transaction: exports are locked, runs are made, and nothing is committed."""


async def add_live(oracle: Oracle, s3: dict[str, str], windows: int, *, events: int = 10) -> Case:
    """An export of whose schedule so many windows, and no more, are due; nobody has made their runs yet."""
    case = await add_case(oracle, s3, windows=windows, due=0, events=events)
    async with oracle.runtime.sessions.begin() as session:
        due = {"next_start": START, "accounted_from": START, "end_at": START + windows * HOUR, "paused": False}
        await session.execute(update(Export).where(Export.id == case.export_id).values(due))
    return case


async def runs_of(runtime: Runtime, *cases: Case) -> list[Run]:
    """As far as anybody else can see them."""
    async with runtime.sessions() as session:
        query = select(Run).where(Run.export_id.in_([case.export_id for case in cases]))
        return list((await session.scalars(query.order_by(Run.data_interval_start, Run.export_id))).all())


@dataclass
class Stuck:
    """Makes a proxy that lets nothing through any more once a pass is in the middle of its transaction."""

    proxy: Proxy | None = None
    reached: bool = False

    def __call__(self) -> Watch:
        said = False

        def watch(data: bytes) -> bool:
            nonlocal said
            # A statement is sent in two pieces: to be prepared, and to be executed. Let through the second as well.
            if said and not self.reached:
                self.reached = True
                assert self.proxy is not None
                self.proxy.freeze()
            said = INSERTED in data
            return False

        return watch
