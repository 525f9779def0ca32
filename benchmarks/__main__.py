"""``python -m benchmarks [NAME …] [--rows N]``: run benchmarks and print their tables."""

import argparse
import asyncio
import platform
from collections.abc import Callable, Coroutine, Mapping
from importlib.metadata import version
from typing import Any

import psutil

from benchmarks import export, intake, load, memory, reads, recovery, store
from benchmarks.peers import measure as peers
from benchmarks.tables import Table

BENCHMARKS: Mapping[str, Callable[[int], Coroutine[Any, Any, Table]]] = {
    "load": load.measure,
    "intake": intake.measure,
    "export": export.measure,
    "memory": memory.measure,
    "peers": peers.measure,
    "reads": reads.measure,
    "recovery": recovery.measure,
    "store": store.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all if left out")
    parser.add_argument("--rows", type=int, default=1_000_000, help="events per measurement")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    total = psutil.virtual_memory().total / 2**30
    print(
        f"{psutil.cpu_count()} cores, {total:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, pyarrow {version('pyarrow')}, PostgreSQL 18"
    )
    for name in arguments.names or BENCHMARKS:
        print(f"\n## {name}\n")
        print(asyncio.run(BENCHMARKS[name](arguments.rows)).markdown(), flush=True)


if __name__ == "__main__":
    main()
