"""Events sent on to another instance (the contract's section 10.9), at the level of its config; delivery follows."""

from collections.abc import Sequence
from typing import Any, ClassVar

from app.destinations.base import DestinationConfig
from app.destinations.columns import HTTP_COLUMNS, Columns
from app.destinations.proposal import Proposal, refuse
from app.destinations.undelivered import Undelivered


class HTTPConfig(DestinationConfig):
    url: str
    token: str


class HTTP(Undelivered):
    """Where it may send to is a setting, so that no rule on addresses is needed besides."""

    name: ClassVar[str] = "HTTP"
    config_model: ClassVar[type[DestinationConfig]] = HTTPConfig
    secrets: ClassVar[frozenset[str]] = frozenset({"token"})
    columns: ClassVar[Columns] = HTTP_COLUMNS
    models: ClassVar[Sequence[str] | None] = ("events",)

    @classmethod
    def settle(cls, proposal: Proposal) -> dict[str, Any]:
        url = proposal.config["url"]
        if url not in proposal.names.network.http_urls:
            raise refuse(f"Invalid destination URL: {url}")
        return dict(proposal.config)
