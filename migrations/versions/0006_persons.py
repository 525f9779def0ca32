"""Persons, the session of every event, and what was refused at intake.

Rewrites the table of events once, for its new column.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NOW = sa.text("clock_timestamp()")
STORE = "event_store"

# The regular expression takes every escape in turn, the longest alternative at each place, and keeps those in the
# group: pairs of surrogates, and all that is not to be removed.
READABLE = r"""
CREATE FUNCTION event_store.readable(document json) RETURNS json
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN strpos(document::text, '\u') = 0 OR document::text !~ '\\u(0000|[dD][89a-fA-F])' THEN document
ELSE regexp_replace(
    document::text,
    '(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\.)|\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})',
    '\1', 'g'
)::json END
"""
READABLE_COMMENT = """
COMMENT ON FUNCTION event_store.readable IS
'JSON without NUL and lone surrogates, of which no member could be read otherwise'
"""
# One expression, and not STRICT, for then the planner puts it in the place of the call: it is computed for every event
# that is stored. The index takes no text of any length.
SESSION_ID = r"""
CREATE FUNCTION event_store.session_id(properties json) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN nullif(left(
    CASE WHEN strpos(properties::text, '\u') = 0 THEN properties ->> '$session_id'
    ELSE event_store.readable(properties) ->> '$session_id' END,
    200
), '')
"""


def upgrade() -> None:
    op.execute(READABLE)
    op.execute(READABLE_COMMENT)
    op.execute(SESSION_ID)
    op.add_column(
        "events",
        sa.Column("session_id", sa.Text(), sa.Computed("event_store.session_id(properties)", persisted=True)),
        schema=STORE,
    )
    op.create_index(
        "ix_events_team_id_session_id",
        "events",
        ["team_id", "session_id"],
        unique=False,
        schema=STORE,
        postgresql_where=sa.text("session_id IS NOT NULL"),
    )
    op.create_table(
        "persons",
        sa.Column("team_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("properties", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_identified", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("inserted_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("team_id", "id", "version", name=op.f("pk_persons")),
        schema=STORE,
    )
    op.create_index("ix_persons_team_id_inserted_at", "persons", ["team_id", "inserted_at"], unique=False, schema=STORE)
    op.create_table(
        "person_distinct_ids",
        sa.Column("team_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("distinct_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("inserted_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("team_id", "distinct_id", "version", name=op.f("pk_person_distinct_ids")),
        schema=STORE,
    )
    op.create_index(
        "ix_person_distinct_ids_team_id_inserted_at",
        "person_distinct_ids",
        ["team_id", "inserted_at"],
        unique=False,
        schema=STORE,
    )
    op.create_index(
        "ix_person_distinct_ids_team_id_person_id",
        "person_distinct_ids",
        ["team_id", "person_id"],
        unique=False,
        schema=STORE,
    )
    op.create_table(
        "ingestion_errors",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("team_id", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("stored", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("event", sa.Text(), nullable=True),
        sa.Column("distinct_id", sa.Text(), nullable=True),
        sa.Column("event_uuid", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ingestion_errors")),
        schema=STORE,
    )
    op.create_index("ix_ingestion_errors_team_id_id", "ingestion_errors", ["team_id", "id"], unique=False, schema=STORE)


def downgrade() -> None:
    op.drop_table("ingestion_errors", schema=STORE)
    op.drop_table("person_distinct_ids", schema=STORE)
    op.drop_table("persons", schema=STORE)
    op.drop_index("ix_events_team_id_session_id", table_name="events", schema=STORE)
    op.drop_column("events", "session_id", schema=STORE)
    op.execute("DROP FUNCTION event_store.session_id")
    op.execute("DROP FUNCTION event_store.readable")
