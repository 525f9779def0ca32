"""Events over HTTP into Postgres against a bare COPY of the same rows, with how long requests took under that load."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import httpx
from sqlalchemy import select

from app.embedded.state import free_port
from app.events.sample import sample_lines
from app.models import Project
from benchmarks.processes import Usage, Watched
from benchmarks.service import END, START, Service, open_service
from benchmarks.tables import Table

SHARE = 5
"""Of the rows that benchmarks are asked for, one in so many: all requests are made before the clock starts."""
START_LIMIT = 60.0
SCHEMA = "event_store"


@dataclass(frozen=True)
class Shape:
    """How clients send: as SDKs on servers do, or as pages do."""

    name: str
    events: int
    """Of one request."""
    connections: int
    share: int
    """Of the events, one in so many is sent."""


SHAPES = (
    Shape("100 events, 16 clients", 100, 16, 1),
    Shape("10 events, 64 clients", 10, 64, 4),
    Shape("1 event, 64 clients", 1, 64, 20),
)


@dataclass(frozen=True)
class Sent:
    events: int
    seconds: float
    latencies: Sequence[float]
    commits: float

    @property
    def rate(self) -> float:
        return self.events / self.seconds

    def percentile(self, share: float) -> str:
        ordered = sorted(self.latencies)
        return f"{ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000:,.0f} ms"


async def measure(rows: int) -> Table:
    count = rows // SHARE
    measured: list[tuple[Sent, Usage]] = []
    async with open_service() as service:
        async with service.runtime.sessions() as session:
            query = select(Project.token).where(Project.id == service.project_id)
            token = (await session.scalars(query)).one()
        lines = [line.strip() for line in sample_lines(count, START, END)]
        bare = 0.0
        for shape in SHAPES:
            measured.append(await _served(service, token, lines[: count // shape.share], shape))
            bare = bare or count / await _copy(service)
            await _clear(service)
    table = Table(
        ["", "events/s", "COPY is so many times faster", "p50", "p95", "p99", "events per commit", "peak memory"],
        f"{count:,} events of about {sum(map(len, lines)) / count:.0f} bytes, fewer in small requests. One API "
        "process; clients on the same machine, each of which sends its next request once the last one is answered.",
    )
    table.add("bare `COPY`, binary", f"{bare:,.0f}", "1.00", "", "", "", "", "")
    for shape, (sent, usage) in zip(SHAPES, measured, strict=True):
        percentiles = [sent.percentile(share) for share in (0.5, 0.95, 0.99)]
        commit = f"{sent.events / sent.commits:,.0f}"
        memory = f"{usage.peak_mib:.0f} MiB"
        table.add(
            f"`POST /batch/`, {shape.name}",
            f"{sent.rate:,.0f}",
            f"{bare / sent.rate:.2f}",
            *percentiles,
            commit,
            memory,
        )
    return table


async def _served(service: Service, token: str, lines: Sequence[bytes], shape: Shape) -> tuple[Sent, Usage]:
    """All of ``lines`` sent to an API process of its own."""
    port = free_port()
    process = Watched(["-m", "app.cli", "api", "--port", str(port)], service.env)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            await _ready(client)
            requests = list(_requests(lines, token, port, shape.events))
            left, latencies = iter(requests), list[float]()
            began = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for _ in range(shape.connections):
                    group.create_task(_send(port, left, latencies))
            seconds = time.monotonic() - began
            commits = await _commits(client)
        async with service.store() as store:
            stored = await store.fetchval(f"SELECT count(*) FROM {SCHEMA}.events")
        if stored != len(lines):
            raise RuntimeError(f"{len(lines)} events were sent, and {stored} are stored")
    finally:
        usage = await asyncio.to_thread(process.stop)
    return Sent(len(lines), seconds, latencies, commits), usage


def _requests(lines: Sequence[bytes], token: str, port: int, size: int) -> Iterator[bytes]:
    events = iter(lines)
    while batch := list(islice(events, size)):
        body = b'{"api_key":"%s","batch":[%s]}' % (token.encode(), b",".join(batch))
        head = f"POST /batch/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        yield f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _send(port: int, left: Iterator[bytes], latencies: list[float]) -> None:
    """A client of as little work as may be: the server has to share the machine with it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for request in left:
            began = time.monotonic()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            [length] = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(length.split(b":")[1]))
            latencies.append(time.monotonic() - began)
    finally:
        writer.close()


async def _ready(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(START_LIMIT):
        while True:
            try:
                if (await client.get("/health/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


async def _commits(client: httpx.AsyncClient) -> float:
    lines = (await client.get("/metrics")).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("batch_exports_intake_commit_events_count"))


async def _copy(service: Service) -> float:
    """Seconds for the events that are stored, into the same table with nothing in it."""
    path = service.directory / "events.copy"
    async with service.store() as store:
        # The session of an event is made by the database, and cannot be copied in.
        names = await store.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'event_store.events'::regclass "
            "AND attnum > 0 AND attgenerated = '' AND NOT attisdropped"
        )
        columns = [row["attname"] for row in names]
        await store.copy_from_table("events", schema_name=SCHEMA, columns=columns, output=path, format="binary")
        await store.execute(f"TRUNCATE {SCHEMA}.events")
        await store.execute("CHECKPOINT")
        began = time.monotonic()
        await store.copy_to_table("events", schema_name=SCHEMA, columns=columns, source=path, format="binary")
        return time.monotonic() - began


async def _clear(service: Service) -> None:
    async with service.store() as store:
        await store.execute(f"TRUNCATE {SCHEMA}.events, {SCHEMA}.persons, {SCHEMA}.person_distinct_ids")
