"""The objects of runs, one worker per window, and how long failed attempts are repeated.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

HELD = sa.text("lease_until IS NOT NULL")


def upgrade() -> None:
    op.add_column("runs", sa.Column("retry_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("runs", sa.Column("records_sanitised", sa.BigInteger(), nullable=True))
    op.add_column("runs", sa.Column("failures_alike", sa.Integer(), server_default="0", nullable=False))
    # Leases of before the index are given back: two of them might be for one window.
    op.execute("UPDATE runs SET lease_until = NULL, owner = NULL WHERE lease_until IS NOT NULL")
    op.create_index(
        "uq_runs_window_held",
        "runs",
        ["export_id", "data_interval_start", "data_interval_end"],
        unique=True,
        postgresql_where=HELD,
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "run_files",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("is_manifest", sa.Boolean(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("min_timestamp", sa.DateTime(timezone=True), nullable=True),
        sa.Column("max_timestamp", sa.DateTime(timezone=True), nullable=True),
        sa.Column("announced_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("committed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_files_run_id_runs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_files")),
    )
    op.create_index("uq_run_files_run_id_epoch_key", "run_files", ["run_id", "epoch", "key"], unique=True)
    op.create_index("ix_run_files_location_key", "run_files", ["location", "key"], unique=False)
    op.create_index(
        "ix_run_files_uncommitted",
        "run_files",
        ["run_id"],
        unique=False,
        postgresql_where=sa.text("committed_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("run_files")
    op.drop_index("uq_runs_window_held", table_name="runs", postgresql_where=HELD)
    op.drop_column("runs", "failures_alike")
    op.drop_column("runs", "records_sanitised")
    op.drop_column("runs", "retry_until")
