"""Structured logs and metrics of a process. Call :func:`configure_logging` once, at its start."""

import logging
import sys

import structlog
from prometheus_client import Counter, Gauge, Histogram

from app.settings import Settings

RUNS_FINISHED = Counter("batch_exports_runs_finished_total", "Runs by how they ended.", ["status", "destination"])
ROWS_EXPORTED = Counter("batch_exports_rows_exported_total", "Rows of completed runs.", ["destination"])
BYTES_EXPORTED = Counter("batch_exports_bytes_exported_total", "Bytes written by completed runs.", ["destination"])
LOG_LINES_DROPPED = Counter("batch_exports_log_lines_dropped_total", "Lines of exports' logs that could not be stored.")
INTERVALS_MISSING = Counter(
    "batch_exports_intervals_missing_total", "Intervals that had no run though they should have had one; one was made."
)
INTERVALS_OVERDUE = Gauge(
    "batch_exports_intervals_overdue",
    "Intervals that should have been exported by now; those without a run count as one per export.",
)
RUN_SECONDS = Histogram(
    "batch_exports_run_seconds",
    "From claim to the end of an attempt.",
    ["destination"],
    buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200, 21600),
)


def configure_logging(settings: Settings) -> None:
    """Logs go to standard error, for standard output belongs to a command's one result."""
    level = logging.getLevelNamesMapping()[settings.log_level]
    # Plain tracebacks, for rich ones show the values of variables, and these may be credentials.
    renderers: list[structlog.types.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if settings.log_format == "json"
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries that log by the standard module say only what an operator must act on.
    logging.basicConfig(
        level=max(level, logging.WARNING), stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
