"""What is said when something outside goes wrong."""

import errno

import pytest
import typer

from app.cli.output import verb

ANSWERS = "The database does not answer as it should"


def said(error: OSError, capsys: pytest.CaptureFixture[str]) -> str:
    @verb
    def fails() -> None:
        raise error

    with pytest.raises(typer.Exit) as ended:
        fails()
    assert ended.value.exit_code == 1
    [line] = capsys.readouterr().err.splitlines()
    return line.removeprefix("batch-exports: ")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/x/y.jsonl"), "/x/y.jsonl: Permission denied."),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "y"), "y: No such file or directory."),
        (OSError(errno.ENOSPC, "No space left on device"), "Writing: No space left on device."),
    ],
)
def test_a_file_that_cannot_be_used_is_named(capsys: pytest.CaptureFixture[str], error: OSError, expected: str) -> None:
    assert said(error, capsys) == expected


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 5432)"),
        OSError("Multiple exceptions: [Errno 111] Connect call failed"),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),  # a socket's path
        TimeoutError(),
    ],
)
def test_a_database_that_is_away_is_not_taken_for_a_file(capsys: pytest.CaptureFixture[str], error: OSError) -> None:
    assert said(error, capsys).startswith(ANSWERS)
