"""``python -m tests.soak [--minutes M] [--exports N] [--seed S]``: PASS or FAIL, and the exit status says the same."""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from pydantic import SecretStr

from app.clocks import utc_now
from app.crypto import new_key
from app.settings import Settings
from app.telemetry import configure_logging
from benchmarks.tables import Table
from tests.destinations.s3_proxy import open_proxy
from tests.faults.stacks import Own, open_own
from tests.soak.crew import Crew, Usage
from tests.soak.faults import Faults
from tests.soak.people import People
from tests.soak.schedule import SETTLE, Scheduling, make_exports
from tests.soak.trouble import S3Weather, Services
from tests.soak.verdict import Numbers, Verdict
from tests.soak.writers import Ground, Intake


@dataclass
class Report:
    faults: Mapping[str, tuple[int, int]]
    numbers: Numbers
    retries: int
    ground: Ground
    usage: tuple[Usage, Usage, Usage]
    """Of the worker that is never killed, at the start; of all, at most; of the first one, at the end."""
    settled: float
    reasons: list[str]

    def markdown(self) -> str:
        faults = Table(["fault", "made", "not made: what it needs was broken already"])
        for name, (made, not_made) in self.faults.items():
            faults.add(name, str(made), str(not_made) if not_made else "")
        numbers, outcomes = self.numbers, self.ground.outcomes
        done = Table(["", ""])
        for name, value in (
            ("windows", f"{numbers.windows:,}"),
            ("rows committed to the event store", f"{self.ground.rows:,}"),
            ("transactions committed, rolled back", f"{outcomes['committed']:,}, {outcomes['rolled back']:,}"),
            ("of these cut off, and looked up later", f"{self.ground.unsure:,}"),
            ("runs", f"{numbers.runs:,}"),
            ("rows exported, retries included", f"{numbers.rows:,}"),
            ("bytes exported", f"{numbers.megabytes:,.0f} MB"),
            ("claims", f"{numbers.claims:,}"),
            ("attempts that failed", f"{numbers.failed_attempts:,}"),
            ("runs taken over from lost or ending workers", f"{numbers.taken_over:,}"),
            ("runs cancelled", f"{numbers.cancelled:,}"),
            ("retries asked for", f"{self.retries:,}"),
            ("longest time in which no run ended", f"{numbers.still:.0f} s"),
            ("settled after the last fault", f"{self.settled:.0f} s"),
        ):
            done.add(name, value)
        used = Table(["a worker", "memory", "open files", "connections"])
        for name, one in zip(("at the start", "at most", "at the end"), self.usage, strict=True):
            used.add(name, f"{one.memory_mib:.0f} MiB", str(one.files), str(one.connections))
        verdict = "\n".join(f"FAIL: {reason}" for reason in self.reasons) or "PASS"
        return "\n\n".join((faults.markdown(), done.markdown(), used.markdown(), verdict))


def _settings() -> Settings:
    """Of the soak's own process: the workers have theirs."""
    return Settings(
        _env_file=None,
        encryption_keys=[SecretStr(new_key())],
        allowed_private_hosts=["127.0.0.1", "localhost"],
        settle_delay=SETTLE,
        schedule_jitter=0,
        log_level="ERROR",
    )


async def soak(directory: Path, minutes: float, exports: int, seed: int) -> Report:
    chance = random.Random(seed)

    def own_chance() -> random.Random:
        # Each has its own, so that what one draws does not depend on how fast the others are.
        return random.Random(chance.random())

    settings = _settings()
    configure_logging(settings)
    async with open_own(directory, settings) as own, open_proxy(own.stack.s3["endpoint_url"]) as proxy:
        ground = Ground(directory / "ground-truth.jsonl", own.oracle.truth)
        tenancy = await make_exports(own.runtime, {**own.stack.s3, "endpoint_url": proxy.url}, exports)
        teams = [export.team for export in tenancy.working]
        intake = Intake(own.runtime.settings.event_store_dsn, ground, teams, own_chance())
        people = People(own.runtime, tenancy, own_chance())
        scheduling = Scheduling(own.runtime, tenancy, intake.writer("of the past"), own_chance())
        crew = Crew(own.workers)
        weather = S3Weather(proxy, own_chance())
        faults = Faults(crew, Services(own, own_chance()), weather, people, own_chance(), directory / "faults.log")
        await crew.start()
        first = crew.elder()
        began = utc_now()
        intake.start()
        scheduling.start()
        saying = asyncio.create_task(_say(own, monotonic(), ground))
        await faults.go_on(monotonic() + minutes * 60)
        await scheduling.stop()
        await intake.stop()
        faults_ended, waited = utc_now(), monotonic()
        verdict = Verdict(own.runtime, own.oracle, tenancy)
        await verdict.settle(faults_ended)
        settled = monotonic() - waited
        saying.cancel()
        last = crew.elder()
        numbers = await verdict.numbers(began, faults_ended)
        await crew.stop()
        await people.aclose()
        await verdict.judge()
        verdict.judge_usage(first, crew.peak, last)
        verdict.reasons += [f"a worker ended by itself, {how}" for how in crew.strange]
        verdict.reasons += faults.strange
        made = {name: (faults.made[name], faults.not_made[name]) for name in faults.names}
        return Report(made, numbers, people.retries, ground, (first, crew.peak, last), settled, verdict.reasons)


async def _say(own: Own, began: float, ground: Ground) -> None:
    """A line now and then, for whoever waits."""
    while True:
        await asyncio.sleep(30)
        sys.stderr.write(f"{monotonic() - began:5.0f} s: {ground.rows:,} rows committed\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="of faults; settling and judging come on top")
    parser.add_argument("--exports", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="the same faults in the same order, as far as time allows")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="batch-exports-soak-"))
    passed = False
    try:
        report = asyncio.run(soak(directory, arguments.minutes, arguments.exports, arguments.seed))
        passed = not report.reasons
        print(f"{arguments.minutes:g} minutes, {arguments.exports} exports, seed {arguments.seed}\n")
        print(report.markdown())
    finally:
        if passed:
            shutil.rmtree(directory)
        else:
            print(f"\nGround truth, faults, logs and all data are in {directory}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
