"""``python -m benchmarks.probed_worker FILE``: a worker, with a probe on its event loop.

The file has what the probe has seen once the worker has ended: pairs of a time, and of how many seconds what was to run
then was late.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Final

# The driver loads Polars where it is installed, which it is for tests alone.
sys.modules["polars"] = None  # type: ignore[assignment]

from app.settings import Settings, load_settings  # noqa: E402
from app.telemetry import configure_logging  # noqa: E402
from worker.__main__ import prepare  # noqa: E402
from worker.main import serve  # noqa: E402

LOOKS: Final = 0.005
"""Seconds between two looks of the probe."""


async def probed(settings: Settings, late: list[tuple[float, float]]) -> None:
    probing = asyncio.create_task(probe(late))
    try:
        await serve(settings)
    finally:
        probing.cancel()


async def probe(late: list[tuple[float, float]]) -> None:
    while True:
        due = time.monotonic() + LOOKS
        await asyncio.sleep(LOOKS)
        late.append((time.time(), time.monotonic() - due))


def main(path: Path) -> None:
    settings = load_settings()
    prepare()
    configure_logging(settings)
    late: list[tuple[float, float]] = []
    asyncio.run(probed(settings, late))
    path.write_text(json.dumps(late))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
