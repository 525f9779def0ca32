"""A destination that takes everything and keeps nothing: for trying out schedules and clients."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, ClassVar

from app.destinations.base import DestinationConfig, Target, Written
from app.destinations.columns import FILE_COLUMNS
from app.streams import Batches


class NoOpConfig(DestinationConfig):
    arg: str = ""


class NoOp:
    name: ClassVar[str] = "NoOp"
    config_model: ClassVar[type[DestinationConfig]] = NoOpConfig
    secrets: ClassVar[frozenset[str]] = frozenset()
    formats: ClassVar[Sequence[str]] = ()
    columns: ClassVar[Sequence[str]] = FILE_COLUMNS

    def __init__(self, config: NoOpConfig) -> None:
        self.config = config

    @classmethod
    def validate(cls, config: dict[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
        return config

    async def write(self, batches: Batches, target: Target) -> Written:
        rows = 0
        async with aclosing(batches):
            async for batch in batches:
                rows += batch.num_rows
        await target.fence()
        return Written(rows=rows, bytes=0)
