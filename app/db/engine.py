"""The one engine of a process, and sessions on it."""

from typing import Final

import asyncpg
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from app.errors import SetupError
from app.settings import DatabaseSettings

Sessions = async_sessionmaker[AsyncSession]

DATABASE_ERRORS: Final = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
"""What a statement may raise when the database is away or restarting; time-outs are OSErrors. While a connection is
being made not all of the driver's errors are wrapped; the last of its own is for an answer cut off half-way."""


def create_engine(settings: DatabaseSettings, *, application_name: str) -> AsyncEngine:
    """An engine on the service's own database; connects on first use.

    :raises SetupError: when the URL is none, or names another driver.
    """
    idle_limit = round(settings.database_idle_transaction_limit.total_seconds() * 1000)
    return create_async_engine(
        parse_url(settings.database_url.get_secret_value()),
        # Errors are logged with their statements, never with the values: these may be credentials.
        hide_parameters=True,
        pool_size=settings.database_pool_size,
        max_overflow=0,
        # A connection that a database restart broke is noticed at checkout, not in the middle of a request.
        pool_pre_ping=True,
        connect_args={
            "timeout": settings.database_connect_timeout.total_seconds(),
            "server_settings": {
                "application_name": application_name,
                "timezone": "UTC",
                # A process that is cut off in the middle of a transaction must not hold its rows for ever.
                "idle_in_transaction_session_timeout": str(idle_limit),
            },
        },
    )


def create_sessions(engine: AsyncEngine) -> Sessions:
    return async_sessionmaker(engine, expire_on_commit=False)


def parse_url(text: str, variable: str = "BATCH_EXPORTS_DATABASE_URL") -> URL:
    """``variable`` is where it came from.

    :raises SetupError: when it is none, or names another driver; without the text, which may hold a password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise SetupError(f"{variable} is not a URL; it should look like postgresql+asyncpg://user@host/db") from None
    if url.drivername != "postgresql+asyncpg":
        raise SetupError(f"{variable} must start with postgresql+asyncpg://, not {url.drivername}://")
    return url
