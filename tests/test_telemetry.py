"""Logs say what went wrong, and no values of variables."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import sys
import structlog
from app.settings import Settings
from app.telemetry import configure_logging

configure_logging(Settings(_env_file=None, log_format=sys.argv[1]))
def fail():
    password = "".join(["ses", "ame"])
    raise KeyError("what went wrong")
try:
    fail()
except KeyError:
    structlog.get_logger("test").exception("it failed", run_id="7")
"""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_traceback_is_logged_without_the_values_of_variables(log_format: str) -> None:
    command = [sys.executable, "-W", "error", "-c", PROGRAM, log_format]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == ""
    assert "KeyError: 'what went wrong'" in result.stderr
    assert "it failed" in result.stderr
    assert "sesame" not in result.stderr
    if log_format == "json":
        assert json.loads(result.stderr)["run_id"] == "7"
