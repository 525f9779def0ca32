"""Servers from npm: Node.js, and packages as their lock files say, installed once per machine."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

PACKAGE_FILES: Final = ("package.json", "package-lock.json", ".npmrc")
INSTALL_LIMIT: Final = 300.0


def node() -> str:
    """Where Node.js is. On a newcomer's machine the other tests are worth running without; in CI it must be there."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        if os.environ.get("CI"):
            raise RuntimeError("Node.js with npm is not installed")
        pytest.skip("Node.js with npm is not installed")
    return found


def installed(package: Path, name: str, programs: Sequence[str] = ()) -> Path:
    """A directory with what the package's lock file says, and its own ``programs``. Other test processes wait for the
    first."""
    files = (*PACKAGE_FILES, *programs)
    digest = hashlib.sha256(b"".join((package / file).read_bytes() for file in files)).hexdigest()
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = cache_home / "batch-exports-tests" / f"{name}-{digest[:16]}"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (directory / "complete").exists():
            for file in files:
                shutil.copy(package / file, directory)
            subprocess.run(
                ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline"],
                cwd=directory,
                check=True,
                timeout=INSTALL_LIMIT,
            )
            (directory / "complete").touch()
    return directory
