"""Azurite, the maker's own emulator of Azure Blob Storage: one server per test process, started when it is first asked
for, with everything in its memory.

It is no exact likeness. A small object put where an unfinished upload lies is refused by it, and a delete that is to
happen only if there is nothing happens all the same; and it never misbehaves: for that there is ``proxy.py``.
"""

import atexit
import base64
import os
import secrets
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from azure.storage.blob import BlobServiceClient
from azure.storage.blob.aio import ContainerClient

from app.destinations.azure_blob.client import API_VERSION
from app.embedded.state import LOOPBACK
from app.embedded.tether import tethered
from tests.npm import installed, node

PACKAGE: Final = Path(__file__).parent
ACCOUNT: Final = "exports"
CONTAINER: Final = "events"


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
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    main = installed(PACKAGE, "azurite") / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    # Port 0: the system gives one that is free, and the server says which.
    options = ("--blobHost", LOOPBACK, "--blobPort", "0", "--inMemoryPersistence", "--silent", "--disableTelemetry")
    process = subprocess.Popen(
        tethered([node(), str(main), *options]),
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
