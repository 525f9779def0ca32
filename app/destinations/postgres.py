"""PostgreSQL (the contract's section 10.3), at the level of its config; delivery follows."""

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from app.destinations.base import DestinationConfig
from app.destinations.columns import TABLE_COLUMNS, Columns
from app.destinations.hosts import check_host
from app.destinations.proposal import Proposal, Takes
from app.destinations.undelivered import Undelivered


class PostgresConfig(DestinationConfig):
    database: str
    schema_: str = Field("public", alias="schema")
    table_name: str = "events"
    has_self_signed_cert: bool = False
    user: str | None = None
    password: str | None = None
    host: str | None = None
    port: int = 5432


class Postgres(Undelivered):
    """With an integration, or with user, password and host in the config. With some of these the one that is missing is
    named; with none, and no integration, the integration is."""

    name: ClassVar[str] = "Postgres"
    config_model: ClassVar[type[DestinationConfig]] = PostgresConfig
    secrets: ClassVar[frozenset[str]] = frozenset({"user", "password"})
    columns: ClassVar[Columns] = TABLE_COLUMNS
    takes: ClassVar[Takes | None] = Takes(
        kind="postgresql",
        wrong_kind="Integration is not a PostgreSQL integration.",
        required="Integration is required for Postgres batch exports",
    )
    inline: ClassVar[Sequence[str]] = ("user", "password", "host")

    @classmethod
    def settle(cls, proposal: Proposal) -> dict[str, Any]:
        check_host(proposal)
        return dict(proposal.config)
