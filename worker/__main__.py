"""``python -m worker``: one worker process. ``batch-exports worker`` becomes this."""

import asyncio
import sys

from app.destinations import DESTINATIONS
from app.errors import SetupError
from app.settings import load_settings
from app.telemetry import configure_logging
from worker.main import serve
from worker.memory import keep_freed_blocks, leave_out_of_collections


def main() -> int:
    try:
        settings = load_settings()
        prepare()
        configure_logging(settings)
        asyncio.run(serve(settings))
    except SetupError as error:
        sys.stderr.write(f"batch-exports worker: {error}\n")
        return 1
    return 0


def prepare() -> None:
    """What would hold up the first runs, and the event loop with them."""
    keep_freed_blocks()
    for destination in DESTINATIONS.values():
        destination.prepare()
    leave_out_of_collections()


if __name__ == "__main__":
    sys.exit(main())
