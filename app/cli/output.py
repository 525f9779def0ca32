"""What all verbs share: one JSON document or a few lines for people, and one line when something is wrong."""

import asyncio
import errno
import json
import signal
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console

from app.db.engine import DATABASE_ERRORS
from app.errors import SetupError, StoreUnavailable
from app.settings import ENV_PREFIX, Settings, load_settings
from app.telemetry import configure_logging

P = ParamSpec("P")
T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]

errors = Console(stderr=True, highlight=False)
"""For prose and progress; shows bars on a terminal only."""


def emit(document: Any, *, as_json: bool, text: str) -> None:
    """The result of a verb: the document for scripts, the text for people."""
    sys.stdout.write((json.dumps(document, default=str) if as_json else text) + "\n")
    sys.stdout.flush()


def fail(reason: str) -> NoReturn:
    """End the verb with status 1 and one line."""
    sys.stderr.write(f"batch-exports: {' '.join(reason.split())}\n")
    raise typer.Exit(1)


def verb(function: Callable[P, T]) -> Callable[P, T]:
    """A command whose expected errors are one line each. Interrupting it is no error."""

    @wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except (SetupError, StoreUnavailable) as error:
            fail(str(error))
        except DATABASE_ERRORS as error:
            if isinstance(error, OSError) and _of_a_file(error):
                fail(f"{error.filename or 'Writing'}: {error.strerror or type(error).__name__}.")
            cause = getattr(error, "orig", None) or error
            fail(f"The database does not answer as it should ({type(cause).__name__}); check {ENV_PREFIX}DATABASE_URL.")
        except KeyboardInterrupt:
            raise typer.Exit(130) from None

    return command


FILE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EPIPE}
"""What using an open file may end with, and connecting to a database never does."""


def _of_a_file(error: OSError) -> bool:
    """Whether it is about a file, rather than about a connection. Only opening a file names it."""
    return error.filename is not None or error.errno in FILE_ERRORS


def open_settings() -> Settings:
    """The settings of the environment, with logging set up by them.

    :raises SetupError: when one is wrong.
    """
    settings = load_settings()
    configure_logging(settings)
    return settings


def run(main: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(main)


def run_until_interrupted(main: Coroutine[Any, Any, T]) -> T | None:
    """Run until it ends, or until SIGINT or SIGTERM asks it to clean up and stop; None then."""

    async def guarded() -> T | None:
        work = asyncio.ensure_future(main)
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            # Once: a second signal must not cut short the cleaning up that the first one began.
            loop.add_signal_handler(name, lambda: None if work.cancelling() else work.cancel())
        await asyncio.wait([work])
        return None if work.cancelled() else work.result()

    return asyncio.run(guarded())
