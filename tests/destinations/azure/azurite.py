"""Azurite, the maker's own emulator of Azure Blob Storage: one server per test process, started when it is first asked
for, with everything in its memory.

It is no exact likeness. A small object put where an unfinished upload lies is refused by it, and a delete that is to
happen only if there is nothing happens all the same; and it never misbehaves: for that there is ``proxy.py``.
"""

import atexit
import base64
import fcntl
import hashlib
import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.blob.aio import ContainerClient

from app.destinations.azure_blob.client import API_VERSION
from app.embedded.state import LOOPBACK
from app.embedded.tether import tethered

PACKAGE: Final = Path(__file__).parent
ACCOUNT: Final = "exports"
CONTAINER: Final = "events"
INSTALL_LIMIT: Final = 300.0


@dataclass(frozen=True)
class Azurite:
    """An account on a running server, with one container."""

    endpoint: str
    key: str = field(repr=False)

    def connection_string(self, endpoint: str | None = None, sas: str | None = None) -> str:
        """``endpoint``: instead of the server's own; ``sas``: instead of the key."""
        secret = f"SharedAccessSignature={sas}" if sas else f"AccountName={ACCOUNT};AccountKey={self.key}"
        return f"BlobEndpoint={endpoint or self.endpoint};{secret};"

    def container(self, name: str = CONTAINER) -> ContainerClient:
        """With all permissions, and nothing of what an export's client has."""
        return ContainerClient.from_connection_string(self.connection_string(), name, api_version=API_VERSION)


@cache
def running() -> Azurite:
    """The server of this process. It ends with it, however that ends."""
    # As for other servers in Node.js: on a newcomer's machine the rest of the tests is worth running without.
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        if os.environ.get("CI"):
            raise RuntimeError("Node.js with npm is not installed")
        pytest.skip("Node.js with npm is not installed")
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    main = _installed() / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    # Port 0: the system gives one that is free, and the server says which.
    options = ("--blobHost", LOOPBACK, "--blobPort", "0", "--inMemoryPersistence", "--silent", "--disableTelemetry")
    process = subprocess.Popen(
        tethered([node, str(main), *options]),
        env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    atexit.register(_stop, process)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "successfully listens on " in line:
            server = Azurite(f"{line.rpartition(' ')[2].strip()}/{ACCOUNT}", key)
            with BlobServiceClient.from_connection_string(
                server.connection_string(), api_version=API_VERSION
            ) as client:
                client.create_container(CONTAINER)
            return server
    raise RuntimeError(f"Azurite did not start: {''.join(said)}")


def _stop(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    process.communicate()


def _installed() -> Path:
    """Where the version of the lock file is, installed once per machine: other test processes wait for the first."""
    lock = (PACKAGE / "package-lock.json").read_bytes()
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = cache_home / "batch-exports-tests" / f"azurite-{hashlib.sha256(lock).hexdigest()[:16]}"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (directory / "complete").exists():
            for name in ("package.json", "package-lock.json", ".npmrc"):
                shutil.copy(PACKAGE / name, directory)
            subprocess.run(
                ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline"],
                cwd=directory,
                check=True,
                timeout=INSTALL_LIMIT,
            )
            (directory / "complete").touch()
    return directory
