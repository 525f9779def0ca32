"""The one engine of a process, and sessions on it."""

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from app.errors import SetupError
from app.settings import DatabaseSettings

Sessions = async_sessionmaker[AsyncSession]


def create_engine(settings: DatabaseSettings, *, application_name: str) -> AsyncEngine:
    """An engine on the service's own database; connects on first use.

    :raises SetupError: when the URL is none, or names another driver.
    """
    try:
        url = make_url(settings.database_url.get_secret_value())
    except ArgumentError:
        raise SetupError(
            "BATCH_EXPORTS_DATABASE_URL is not a URL; it should look like postgresql+asyncpg://user@host/db"
        ) from None
    if url.drivername != "postgresql+asyncpg":
        raise SetupError(f"BATCH_EXPORTS_DATABASE_URL must start with postgresql+asyncpg://, not {url.drivername}://")
    return create_async_engine(
        url,
        pool_size=settings.database_pool_size,
        max_overflow=0,
        # A connection that a database restart broke is noticed at checkout, not in the middle of a request.
        pool_pre_ping=True,
        connect_args={
            "timeout": settings.database_connect_timeout.total_seconds(),
            "server_settings": {"application_name": application_name, "timezone": "UTC"},
        },
    )


def create_sessions(engine: AsyncEngine) -> Sessions:
    return async_sessionmaker(engine, expire_on_commit=False)
