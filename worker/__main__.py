"""``python -m worker``: one worker process. ``batch-exports worker`` becomes this."""

import asyncio
import sys

from app.errors import SetupError
from app.settings import load_settings
from app.telemetry import configure_logging
from worker.main import serve
from worker.memory import give_back_large_blocks


def main() -> int:
    try:
        settings = load_settings()
        give_back_large_blocks()
        configure_logging(settings)
        asyncio.run(serve(settings))
    except SetupError as error:
        sys.stderr.write(f"batch-exports worker: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
