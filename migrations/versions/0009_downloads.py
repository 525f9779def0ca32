"""File downloads.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "downloads",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_downloads_project_id_projects")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_downloads_run_id_runs")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_downloads")),
    )
    op.create_index("ix_downloads_project_id_created_at", "downloads", ["project_id", "created_at", "run_id"])
    op.create_index("ix_downloads_kept", "downloads", ["expires_at"], postgresql_where=sa.text("removed_at IS NULL"))


def downgrade() -> None:
    op.drop_table("downloads")
