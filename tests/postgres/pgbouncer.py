"""PgBouncer in transaction mode, with Debian's settings for the rest."""

from __future__ import annotations

import shutil
import subprocess
from types import TracebackType
from urllib.parse import unquote, urlsplit

from tests.postgres.programs import ENVIRON, account, free_port, new_folder, until
from tests.postgres.servers import ask

_CONFIGURATION = """
[databases]
* = {target}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 500
default_pool_size = {pool_size}
"""


class PgBouncer:
    """A PgBouncer in front of a server, for all its databases. A context manager."""

    def __init__(self, dsn: str, *, pool_size: int = 20) -> None:
        """Prepare one for the server of `dsn`, and its role.

        `pool_size` is how many connections to a database it keeps.
        """
        parts = urlsplit(dsn)
        target = {
            "host": parts.hostname,
            "port": str(parts.port or 5432),
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
        }
        self.port = free_port()
        self._dsn = dsn
        self._configuration = _CONFIGURATION.format(
            port=self.port,
            pool_size=pool_size,
            target=" ".join(f"{name}={value}" for name, value in target.items() if value),
        )

    @staticmethod
    def program() -> str | None:
        """Where the program is, if it is installed."""
        return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")

    def dsn(self, dsn: str) -> str:
        """The DSN that leads to the same database through it."""
        parts = urlsplit(dsn)
        user = parts.netloc.rpartition("@")[0]
        netloc = f"{user}@127.0.0.1:{self.port}" if user else f"127.0.0.1:{self.port}"
        return parts._replace(netloc=netloc).geturl()

    def __enter__(self) -> PgBouncer:
        program = self.program()
        assert program is not None
        self._folder = new_folder()
        configuration = self._folder / "pgbouncer.ini"
        configuration.write_text(self._configuration)
        configuration.chmod(0o644)
        log = self._folder / "log"
        with log.open("wb") as file:
            process = self._process = subprocess.Popen(
                [program, configuration],
                cwd=self._folder,
                env=ENVIRON,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **account(),
            )

        # Ends it also when the tests are killed.
        self._keeper = subprocess.Popen(
            ["sh", "-c", 'read -r _; kill "$1"', "sh", str(process.pid)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

        def answers() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"PgBouncer doesn't start: {log.read_text()}")
            try:
                return bool(ask(self.dsn(self._dsn), "SELECT 1"))
            except OSError:
                return False

        try:
            until(answers, "PgBouncer answers")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._process.wait(timeout=60)  # at once: SIGTERM doesn't wait for clients
        self._keeper.wait(timeout=60)
        shutil.rmtree(self._folder)
