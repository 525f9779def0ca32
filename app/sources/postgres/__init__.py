"""The event store in Postgres."""

from app.sources.postgres.source import PostgresSource

__all__ = ["PostgresSource"]
