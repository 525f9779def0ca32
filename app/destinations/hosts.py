"""Hosts that a config or its integration names."""

from typing import Any

from app.destinations.proposal import Proposal, refuse


def check_host(proposal: Proposal) -> None:
    """:raises ValidationFailed: when a run could not, or must not, connect to the host."""
    host: Any = proposal.settings.get("host")
    if not isinstance(host, str) or not proposal.names.permits(host):
        raise refuse(f"Invalid host: '{host if isinstance(host, str) else ''}'")
