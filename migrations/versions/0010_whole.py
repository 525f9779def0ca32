"""Whether the event store is whole, asked within the statement that reads it.

Revision ID: 0010
Revises: 0009
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Stable: it sees what the statement sees that calls it.
    op.execute(
        """
        CREATE FUNCTION event_store.is_whole_since(moment timestamptz) RETURNS boolean
        LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
        BEGIN
            IF EXISTS (SELECT FROM event_store.retention WHERE pruned_before > moment) THEN
                RAISE EXCEPTION 'what came in since % is not kept any more', moment USING ERRCODE = 'BE001';
            END IF;
            RETURN true;
        END $$
        """
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION event_store.is_whole_since(timestamptz)")
