"""The first tables: tenants, exports, runs, backfills, and the embedded event store.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS event_store")
    op.create_table(
        "events",
        sa.Column("team_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("distinct_id", sa.Text(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("properties", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("person_properties", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("elements_chain", sa.Text(), server_default="", nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "inserted_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("team_id", "uuid", name=op.f("pk_events")),
        schema="event_store",
    )
    op.create_index(
        "ix_events_team_id_inserted_at", "events", ["team_id", "inserted_at"], unique=False, schema="event_store"
    )
    op.create_index(
        "ix_events_team_id_timestamp", "events", ["team_id", "timestamp"], unique=False, schema="event_store"
    )
    op.create_table(
        "organizations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "last_updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("project_ids", postgresql.ARRAY(sa.INTEGER()), nullable=True),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.TEXT()), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "last_updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_api_keys_organization_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
    )
    op.create_index(op.f("ix_api_keys_organization_id"), "api_keys", ["organization_id"], unique=False)
    op.create_table(
        "projects",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "last_updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_projects_organization_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("token", name=op.f("uq_projects_token")),
    )
    op.create_index(op.f("ix_projects_organization_id"), "projects", ["organization_id"], unique=False)
    op.create_table(
        "exports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("destination_type", sa.Text(), nullable=False),
        sa.Column("destination_config", sa.LargeBinary(), nullable=False),
        sa.Column("integration_id", sa.Integer(), nullable=True),
        sa.Column("interval", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("interval_offset", sa.Integer(), nullable=True),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("last_paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("next_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("hogql_query", sa.Text(), nullable=True),
        sa.Column("hogql_modifiers", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("primary_key", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("version_key", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("incremental_mode", sa.Text(), nullable=False),
        sa.Column("schema", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("filters", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("last_modified_by", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "last_updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["last_modified_by"], ["api_keys.id"], name=op.f("fk_exports_last_modified_by_api_keys")
        ),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_exports_project_id_projects")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exports")),
    )
    op.create_index(
        "ix_exports_next_start",
        "exports",
        ["next_start"],
        unique=False,
        postgresql_where=sa.text("NOT deleted AND NOT paused"),
    )
    op.create_index(
        "ix_exports_project_id_created_at",
        "exports",
        ["project_id", "created_at", "id"],
        unique=False,
        postgresql_where=sa.text("NOT deleted"),
    )
    op.create_table(
        "backfills",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("export_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("adjusted_start_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("select_by", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("next_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("total_records_count", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "last_updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["export_id"], ["exports.id"], name=op.f("fk_backfills_export_id_exports")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_backfills_project_id_projects")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backfills")),
    )
    op.create_index("ix_backfills_export_id_created_at", "backfills", ["export_id", "created_at", "id"], unique=False)
    op.create_index("ix_backfills_export_id_start_at", "backfills", ["export_id", "start_at", "id"], unique=False)
    op.create_index(
        "ix_backfills_unfinished",
        "backfills",
        ["project_id", "id"],
        unique=False,
        postgresql_where=sa.text("status IN ('Starting', 'Running')"),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("export_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("backfill_id", sa.Uuid(), nullable=True),
        sa.Column("data_interval_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("data_interval_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("select_by", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("records_completed", sa.BigInteger(), nullable=True),
        sa.Column("records_failed", sa.BigInteger(), nullable=True),
        sa.Column("records_total_count", sa.BigInteger(), nullable=True),
        sa.Column("bytes_exported", sa.BigInteger(), nullable=True),
        sa.Column("latest_error", sa.Text(), nullable=True),
        sa.Column("error_class", sa.Text(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "not_before", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "last_updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["backfill_id"], ["backfills.id"], name=op.f("fk_runs_backfill_id_backfills")),
        sa.ForeignKeyConstraint(["export_id"], ["exports.id"], name=op.f("fk_runs_export_id_exports")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_runs_project_id_projects")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index("ix_runs_export_id_created_at", "runs", ["export_id", "created_at", "id"], unique=False)
    op.create_index(
        "ix_runs_export_id_data_interval_start", "runs", ["export_id", "data_interval_start", "id"], unique=False
    )
    op.create_index(
        "ix_runs_unfinished",
        "runs",
        ["not_before", "id"],
        unique=False,
        postgresql_where=sa.text("status IN ('Starting', 'Running')"),
    )
    op.create_index(
        "uq_runs_backfill_window",
        "runs",
        ["backfill_id", "data_interval_start", "data_interval_end"],
        unique=True,
        postgresql_where=sa.text("backfill_id IS NOT NULL"),
        postgresql_nulls_not_distinct=True,
    )
    op.create_index(
        "uq_runs_scheduled_window",
        "runs",
        ["export_id", "data_interval_start", "data_interval_end"],
        unique=True,
        postgresql_where=sa.text("backfill_id IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("uq_runs_scheduled_window", table_name="runs", postgresql_where=sa.text("backfill_id IS NULL"))
    op.drop_index(
        "uq_runs_backfill_window",
        table_name="runs",
        postgresql_where=sa.text("backfill_id IS NOT NULL"),
        postgresql_nulls_not_distinct=True,
    )
    op.drop_index(
        "ix_runs_unfinished", table_name="runs", postgresql_where=sa.text("status IN ('Starting', 'Running')")
    )
    op.drop_index("ix_runs_export_id_data_interval_start", table_name="runs")
    op.drop_index("ix_runs_export_id_created_at", table_name="runs")
    op.drop_table("runs")
    op.drop_index(
        "ix_backfills_unfinished", table_name="backfills", postgresql_where=sa.text("status IN ('Starting', 'Running')")
    )
    op.drop_index("ix_backfills_export_id_start_at", table_name="backfills")
    op.drop_index("ix_backfills_export_id_created_at", table_name="backfills")
    op.drop_table("backfills")
    op.drop_index("ix_exports_project_id_created_at", table_name="exports", postgresql_where=sa.text("NOT deleted"))
    op.drop_index("ix_exports_next_start", table_name="exports", postgresql_where=sa.text("NOT deleted AND NOT paused"))
    op.drop_table("exports")
    op.drop_index(op.f("ix_projects_organization_id"), table_name="projects")
    op.drop_table("projects")
    op.drop_index(op.f("ix_api_keys_organization_id"), table_name="api_keys")
    op.drop_table("api_keys")
    op.drop_table("organizations")
    op.drop_index("ix_events_team_id_timestamp", table_name="events", schema="event_store")
    op.drop_index("ix_events_team_id_inserted_at", table_name="events", schema="event_store")
    op.drop_table("events", schema="event_store")
    op.execute("DROP SCHEMA event_store")
