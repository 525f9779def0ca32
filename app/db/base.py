"""The declarative base, and what every table agrees on."""

from datetime import datetime

from sqlalchemy import DateTime, MetaData, Text, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: DateTime(timezone=True), str: Text()}  # noqa: RUF012  SQLAlchemy's own spelling


class Timestamped:
    """When the row was made and last changed."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    last_updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
