"""A destination that takes everything and keeps nothing: for trying out schedules and clients."""

from contextlib import aclosing
from typing import ClassVar

from app.destinations.base import Destination, DestinationConfig, Target, Written
from app.destinations.columns import FILE_COLUMNS, Columns
from app.streams import Batches


class NoOpConfig(DestinationConfig):
    arg: str = ""


class NoOp(Destination):
    name: ClassVar[str] = "NoOp"
    config_model: ClassVar[type[DestinationConfig]] = NoOpConfig
    columns: ClassVar[Columns] = FILE_COLUMNS

    async def write(self, batches: Batches, target: Target) -> Written:
        rows = 0
        async with aclosing(batches):
            async for batch in batches:
                rows += batch.num_rows
        await target.fence.confirm()
        return Written(rows=rows, bytes=0)
