"""What an export to Azure Blob Storage stores in its config, and the rules across it (the contract's section 10.2)."""

import re
from typing import Any, Final

from app.destinations.azure_blob.connection import Connection
from app.destinations.files import FilesConfig, check_prefix, settle_files
from app.destinations.proposal import Proposal, refuse

CONTAINER: Final = re.compile(r"[$A-Za-z0-9_-]+", re.ASCII)
"""More than the service takes, which says so itself; nothing that would make another URL."""


class AzureBlobConfig(FilesConfig):
    container_name: str
    prefix: str = ""


def settle_container(proposal: Proposal) -> dict[str, Any]:
    """See :meth:`app.destinations.base.Destination.validate`."""
    config = dict(proposal.config)
    container = str(config.get("container_name", ""))
    if not container.strip():
        raise refuse("The following inputs are empty: ['container_name']")
    if CONTAINER.fullmatch(container) is None:
        raise refuse(
            f"Invalid container_name: '{container}'. Names of containers are of letters, digits and dashes; folders "
            "belong into 'prefix'"
        )
    try:
        connection = Connection.parse(str(proposal.settings.get("connection_string", "")))
    except ValueError as error:
        raise refuse(f"The integration's connection string cannot be used: {error}") from None
    if not connection.is_azure and not proposal.names.permits(connection.host):
        raise refuse(
            "The integration's connection string leads to a host that has no address, or that this service may not "
            "connect to"
        )
    settled = settle_files(config, proposal.stored)
    check_prefix({"prefix": "", **settled})
    _check_segments(str(settled.get("prefix", "")))
    return settled


def _check_segments(prefix: str) -> None:
    """A blob's name is part of a URL, where such names mean others."""
    if "\\" in prefix:
        raise refuse("'prefix' has a backslash, which Azure takes for a slash. Use '/'")
    if any(segment.endswith(".") for segment in prefix.split("/")):
        raise refuse("'prefix' has a folder whose name ends with a dot, which Azure does not allow. Leave the dot out")
