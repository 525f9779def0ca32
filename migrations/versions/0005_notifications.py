"""Notifications and their deliveries, failures yet to be counted, and since when exports are accounted for.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NOW = sa.text("clock_timestamp()")
WAITING = sa.text("status = 'Waiting'")


def upgrade() -> None:
    # The default is for processes of the version before, which do not know the column.
    op.add_column(
        "exports", sa.Column("accounted_from", sa.DateTime(timezone=True), server_default=NOW, nullable=False)
    )
    op.execute("UPDATE exports SET accounted_from = next_start")
    op.create_table(
        "notification_channels",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("webhook_url", sa.Text(), nullable=True),
        sa.Column("webhook_secret", sa.LargeBinary(), nullable=False),
        sa.Column("emails", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("last_updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_notification_channels_project_id_projects")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification_channels")),
        sa.UniqueConstraint("project_id", name=op.f("uq_notification_channels_project_id")),
    )
    op.create_table(
        "notifications",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("export_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("dedupe_key", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_notifications_project_id_projects")),
        sa.ForeignKeyConstraint(["export_id"], ["exports.id"], name=op.f("fk_notifications_export_id_exports")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
        sa.UniqueConstraint("dedupe_key", name=op.f("uq_notifications_dedupe_key")),
    )
    op.create_index("ix_notifications_created_at", "notifications", ["created_at"], unique=False)
    op.create_table(
        "notification_deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("latest_error", sa.Text(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["notification_id"],
            ["notifications.id"],
            name=op.f("fk_notification_deliveries_notification_id_notifications"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_notification_deliveries_project_id_projects")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification_deliveries")),
    )
    op.create_index(
        "ix_notification_deliveries_notification_id", "notification_deliveries", ["notification_id"], unique=False
    )
    op.create_index(
        "ix_notification_deliveries_project_id_created_at",
        "notification_deliveries",
        ["project_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_notification_deliveries_waiting",
        "notification_deliveries",
        ["not_before", "id"],
        unique=False,
        postgresql_where=WAITING,
    )
    op.create_table(
        "uncounted_failures",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("export_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["export_id"], ["exports.id"], name=op.f("fk_uncounted_failures_export_id_exports")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_uncounted_failures")),
    )
    op.create_index("ix_uncounted_failures_export_id", "uncounted_failures", ["export_id"], unique=False)


def downgrade() -> None:
    op.drop_table("uncounted_failures")
    op.drop_table("notification_deliveries")
    op.drop_table("notifications")
    op.drop_table("notification_channels")
    op.drop_column("exports", "accounted_from")
