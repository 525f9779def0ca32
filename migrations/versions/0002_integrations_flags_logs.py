"""Integrations, feature flags of projects, and the log lines of runs.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "log_entries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("export_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_entries")),
    )
    op.create_index("ix_log_entries_export_id_timestamp", "log_entries", ["export_id", "timestamp", "id"], unique=False)
    op.create_index("ix_log_entries_run_id_timestamp", "log_entries", ["run_id", "timestamp", "id"], unique=False)
    op.create_index("ix_log_entries_timestamp", "log_entries", ["timestamp"], unique=False)
    op.create_table(
        "integrations",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("config", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("sensitive_config", sa.LargeBinary(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "last_updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["created_by"], ["api_keys.id"], name=op.f("fk_integrations_created_by_api_keys")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_integrations_project_id_projects")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_integrations")),
    )
    op.create_index(
        "ix_integrations_project_id_created_at", "integrations", ["project_id", "created_at", "id"], unique=False
    )
    op.create_index(op.f("ix_exports_integration_id"), "exports", ["integration_id"], unique=False)
    op.create_foreign_key(
        op.f("fk_exports_integration_id_integrations"), "exports", "integrations", ["integration_id"], ["id"]
    )
    op.add_column(
        "projects", sa.Column("flags", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False)
    )


def downgrade() -> None:
    op.drop_column("projects", "flags")
    op.drop_constraint(op.f("fk_exports_integration_id_integrations"), "exports", type_="foreignkey")
    op.drop_index(op.f("ix_exports_integration_id"), table_name="exports")
    op.drop_index("ix_integrations_project_id_created_at", table_name="integrations")
    op.drop_table("integrations")
    op.drop_index("ix_log_entries_timestamp", table_name="log_entries")
    op.drop_index("ix_log_entries_run_id_timestamp", table_name="log_entries")
    op.drop_index("ix_log_entries_export_id_timestamp", table_name="log_entries")
    op.drop_table("log_entries")
