"""Retries of runs, and indexes for every filter and order of lists.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UNFINISHED = sa.text("status IN ('Starting', 'Running')")


def upgrade() -> None:
    op.add_column("backfills", sa.Column("retry_of", sa.Uuid(), nullable=True))
    op.create_index("uq_backfills_retry_of", "backfills", ["retry_of"], unique=True, postgresql_where=UNFINISHED)
    op.drop_index("ix_backfills_export_id_start_at", table_name="backfills")
    op.create_index(
        "ix_backfills_export_id_start_at",
        "backfills",
        ["export_id", sa.text("COALESCE(start_at, '-infinity'::timestamp with time zone)"), "id"],
        unique=False,
    )
    op.create_index(
        "ix_runs_export_id_status_created_at", "runs", ["export_id", "status", "created_at", "id"], unique=False
    )
    op.create_index("ix_runs_backfill_unfinished", "runs", ["backfill_id"], unique=False, postgresql_where=UNFINISHED)


def downgrade() -> None:
    op.drop_index("ix_runs_backfill_unfinished", table_name="runs", postgresql_where=UNFINISHED)
    op.drop_index("ix_runs_export_id_status_created_at", table_name="runs")
    op.drop_index("ix_backfills_export_id_start_at", table_name="backfills")
    op.create_index("ix_backfills_export_id_start_at", "backfills", ["export_id", "start_at", "id"], unique=False)
    op.drop_index("uq_backfills_retry_of", table_name="backfills", postgresql_where=UNFINISHED)
    op.drop_column("backfills", "retry_of")
