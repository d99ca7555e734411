"""PostgreSQL servers that a test has to itself: to stop, kill, copy and promote."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import psutil

from tests.postgres.programs import (
    ENVIRON,
    account,
    binaries,
    free_port,
    given_dsn,
    new_folder,
    run,
    until,
)

ROLE = "mythline"  # who owns the databases: no superuser, as in production

# Either keeps every commit when its processes are killed. Power may not fail for the first:
# the disk is left to the system, which most tests shouldn't wait for.
FAST = {"fsync": "off", "full_page_writes": "off"}
DURABLE = {"fsync": "on", "full_page_writes": "on"}

_ALWAYS = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "max_connections": "200",
    "shared_buffers": "'64MB'",
    "wal_keep_size": "'256MB'",  # a standby that was away finds what it missed
    "timezone": "'Asia/Kathmandu'",  # +05:45: nothing may count on a server in UTC
}

# Ends the server and removes its folder when its input closes: also when the tests are killed.
_KEEPER = 'read -r _; "$1/pg_ctl" stop -s -m immediate -D "$2/data"; rm -rf "$2"'


def ask(dsn: str, sql: str, *arguments: Any) -> list[Any]:
    """The rows that one statement gives, over a connection of its own.

    Blocks, and may be called where an event loop runs.
    """

    async def rows() -> list[Any]:
        connection = await asyncpg.connect(dsn, timeout=60)
        try:
            return await connection.fetch(sql, *arguments)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, rows()).result()


def dsn_of_all(*servers: Server, database: str = "postgres") -> str:
    """The DSN that leads to the one of these servers that takes writes."""
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    return f"postgresql://{ROLE}@{hosts}/{database}?target_session_attrs=read-write"


class GivenServer:
    """A server that runs already, by its DSN; it is used as it is."""

    def __init__(self, dsn: str) -> None:
        self._dsn = urlsplit(dsn)

    def dsn(self, database: str = "postgres") -> str:
        """The DSN of a database on it, for the role that owns the databases."""
        return self._dsn._replace(path=f"/{database}").geturl()

    def admin_dsn(self, database: str = "postgres") -> str:
        """The DSN for whoever may do everything that the tests do."""
        return self.dsn(database)


class Server:
    """A server of the test's own on 127.0.0.1, started. A context manager that removes it.

    Everything blocks, and has happened when it returns. No password is asked for. Its database
    `postgres` is empty, and there to be used.
    """

    def __init__(self, settings: Mapping[str, str] = FAST) -> None:
        """Make a new cluster with these settings over the usual ones."""
        self._open()
        try:
            self._initialise(settings)
            self.start()
            ask(self.admin_dsn(), f"CREATE ROLE {ROLE} LOGIN CREATEDB")
            ask(self.admin_dsn(), f"ALTER DATABASE postgres OWNER TO {ROLE}")
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        self.folder = new_folder()
        self.data = self.folder / "data"
        self.port = free_port()
        self._process: subprocess.Popen[Any] | None = None
        self._keeper = subprocess.Popen(
            ["sh", "-c", _KEEPER, "sh", binaries(), self.folder],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **account(),
        )

    def _initialise(self, settings: Mapping[str, str]) -> None:
        arguments = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        if "with-icu" in run("pg_config", "--configure", folder=self.folder):
            # Sorts as people do, "a" before "B": what needs bytes in order must say so.
            arguments += ["--locale-provider=icu", "--icu-locale=en"]
        run("initdb", "-D", self.data, *arguments, folder=self.folder)
        lines = [f"{name} = {value}\n" for name, value in {**_ALWAYS, **settings}.items()]
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(lines)

    def dsn(self, database: str = "postgres") -> str:
        """The DSN of a database on it, for the role that owns the databases."""
        return f"postgresql://{ROLE}@127.0.0.1:{self.port}/{database}"

    def admin_dsn(self, database: str = "postgres") -> str:
        """The same for the superuser."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The number of its first process, the one that starts the others."""
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        """What the server has logged."""
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start the server, on the port that it had; returns when it takes connections."""
        assert not self.running
        with (self.folder / "log").open("ab") as log:
            process = self._process = subprocess.Popen[bytes](
                [binaries() / "postgres", "-D", self.data, "-p", str(self.port)],
                cwd=self.folder,
                env=ENVIRON,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **account(),
            )

        def started() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"The server doesn't start: {self.log()[-4000:]}")
            with contextlib.suppress(FileNotFoundError):
                lines = (self.data / "postmaster.pid").read_text().splitlines()
                # The first and the eighth line; a file of before may still be there.
                return lines[:1] == [str(process.pid)] and lines[7:] == ["ready   "]
            return False

        until(started, "the server is ready")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: `smart`, `fast`, or `immediate`, which is a crash in good order."""
        signals = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
        assert self._process is not None
        self._process.send_signal(signals[mode])
        self._process.wait(timeout=120)

    def kill(self) -> None:
        """Kill all its processes at once with SIGKILL; returns when they are dead."""
        assert self._process is not None
        assert self.running
        self._process.send_signal(signal.SIGSTOP)  # so that none comes after the list is made
        children = psutil.Process(self.pid).children(recursive=True)
        for process in [*children, self._process]:
            process.kill()
        self._process.wait(timeout=60)
        until(lambda: all(map(_dead, children)), "all processes of the server are dead")

    def restart(self, mode: str = "fast") -> None:
        """Stop it, unless it is down already, and start it on the same port."""
        if self.running:
            self.stop(mode)
        self.start()

    def standby(self, name: str = "standby") -> Server:
        """A physical standby of it that runs and is in step; every commit waits for it."""
        standby = Server.__new__(Server)
        standby._open()
        try:
            source = f"host=127.0.0.1 port={self.port} user=postgres application_name={name}"
            arguments = ["-d", source, "-R", "-c", "fast", "-X", "stream", "--no-sync"]
            run("pg_basebackup", "-D", standby.data, *arguments, folder=standby.folder)
            with (standby.data / "postgresql.auto.conf").open("a") as file:
                file.write("synchronous_standby_names = ''\n")  # it waits for none when promoted
            standby.start()
            ask(self.admin_dsn(), f"ALTER SYSTEM SET synchronous_standby_names = '\"{name}\"'")
            ask(self.admin_dsn(), "SELECT pg_reload_conf()")
            waits = "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'"
            waits += " AND state = 'streaming' AND application_name = $1"
            until(lambda: ask(self.admin_dsn(), waits, name), "the standby is synchronous")
        except BaseException:
            standby.close()
            raise
        return standby

    def promote(self) -> None:
        """Make a standby a primary; returns when it takes writes."""
        ((done,),) = ask(self.admin_dsn(), "SELECT pg_promote(true, 120)")
        assert done, self.log()[-4000:]

    def close(self) -> None:
        """End it and remove its folder, whatever state it is in."""
        if not self.running:
            (self.data / "postmaster.pid").unlink(missing_ok=True)  # its number may be another's
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait(timeout=120)
        if self._process is not None:
            self._process.wait(timeout=120)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()


def _dead(process: psutil.Process) -> bool:
    """Whether a process is gone, or waits for no more than to be counted as gone."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def a_server() -> GivenServer | Server:
    """The server that tests share: the given one, or one that is fast."""
    dsn = given_dsn()
    return GivenServer(dsn) if dsn else Server()
