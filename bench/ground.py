"""The ground benchmarks and fault runs stand on: servers of their own, and the service's processes as they are run.

`Ground` starts PostgreSQL, Valkey and Mosquitto durably in a folder of its own; `launch("bridge")` starts a process of
the service against them, `kill("bridge")` ends it with -9. `opened()` gives this process the database and the clients.
"""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from backend import wiring
from backend.core import db
from backend.core.clock import Clock
from backend.core.services import Services
from backend.core.settings import Settings
from backend.stations.rules.broker import hash_password
from sandbox.servers import processes
from sandbox.servers.mosquitto import BRIDGE_RULES, BrokerUser, MosquittoServer
from sandbox.servers.mosquitto_program import find_mosquitto, programs_folder
from sandbox.servers.postgres import DATABASE, OWNER, PostgresPasswords, PostgresServer, run_as_superuser
from sandbox.servers.valkey import ValkeyServer

ROOT = Path(__file__).parents[1]
FLEET_RULES = ("topic readwrite ev/v1/#",)
"""The broker user `fleet` speaks for all devices, so that a run may have thousands of them."""


class Ground:
    """Servers in `folder`, and the service's processes by name."""

    def __init__(self, folder: Path, *, broker: bool) -> None:
        self.folder = folder
        self.postgres = PostgresServer(folder=folder / "pg", passwords=PostgresPasswords())
        self.valkey = ValkeyServer(folder=folder / "valkey", password="ground")
        self.broker: MosquittoServer | None = None
        if broker:
            program = find_mosquitto(folder=programs_folder(folder), say=print)
            self.broker = MosquittoServer(folder=folder / "mqtt", program=program)
        self.api_port = processes.free_port()
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.extra: dict[str, str] = {}

    def start(self) -> None:
        """Start the servers and migrate."""
        self.postgres.start()
        self.valkey.start()
        if self.broker is not None:
            self.set_users()
            self.broker.start()

    def set_users(self, *, passwords: str = "", acl: str = "") -> None:
        """Let the broker know the bridge, the fleet, and what the registry says of devices."""
        assert self.broker is not None
        self.broker.set_access(
            users=(
                BrokerUser(name="bridge", password_hash=hash_password("b"), rules=BRIDGE_RULES),
                BrokerUser(name="fleet", password_hash=hash_password("f"), rules=FLEET_RULES),
            ),
            passwords=passwords,
            acl=acl,
        )

    def environ(self) -> dict[str, str]:
        """The settings of a process of the service; outside addresses are closed ports unless `extra` names them."""
        closed = "http://127.0.0.1:9"
        outside = ("SMS_URL", "VOICE_URL", "WECHAT_URL", "WECHAT_PAY_URL", "APNS_URL")
        mqtt = "mqtt://bridge:b@127.0.0.1:9" if self.broker is None else self.broker.url("bridge", "b")
        return {
            "LINLI_DATABASE_URL": self.postgres.app_url,
            "LINLI_OWNER_DATABASE_URL": self.postgres.owner_url,
            "LINLI_REDIS_URL": self.valkey.url,
            "LINLI_MQTT_URL": mqtt,
            "LINLI_TOKEN_SECRET": "ground-ground-ground-ground-ground-ground",
            "LINLI_DATA_KEYS": "1:" + base64.b64encode(bytes(32)).decode(),
            "LINLI_LOOKUP_KEY": base64.b64encode(bytes(range(32))).decode(),
            "LINLI_EVIDENCE_DIR": str(self.folder / "evidence"),
            "LINLI_API_HOST": "127.0.0.1",
            "LINLI_API_PORT": str(self.api_port),
            "LINLI_PUBLIC_URL": self.api_url,
            "LINLI_RATE_PER_MINUTE": "100000000",
            "LINLI_LOG_FORMAT": "json",
            "LINLI_LOG_LEVEL": "warning",
            **{f"LINLI_{name}": closed for name in outside},
            **self.extra,
        }

    @property
    def broker_port(self) -> int:
        """Where devices connect."""
        assert self.broker is not None, "this ground has no broker"
        return self.broker.port

    @property
    def api_url(self) -> str:
        """Where the API answers."""
        return f"http://127.0.0.1:{self.api_port}"

    def launch(self, *roles: str) -> None:
        """Start processes of the service by the names `linli` knows; a second of a kind is called `ingest:2`."""
        for role in roles:
            self.run(role, "-m", "backend.cli", role.partition(":")[0])

    def run(self, name: str, *arguments: str, environ: Mapping[str, str] | None = None) -> None:
        """Start a Python program under a name."""
        self.children[name] = processes.launch(
            [sys.executable, *arguments],
            env={**os.environ, **self.environ(), **(environ or {})},
            cwd=ROOT,
            log=self.log(name),
        )

    def log(self, name: str) -> Path:
        """The log of a process."""
        return self.folder / f"{name.replace(':', '-')}.log"

    def kill(self, name: str) -> None:
        """End a process and whatever it started with -9, as a crash would."""
        child = self.children.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()

    def stop_service(self) -> None:
        """End all processes of the service."""
        for name in list(self.children):
            self.kill(name)

    def stop(self) -> None:
        """End everything."""
        self.stop_service()
        for server in (self.broker, self.valkey, self.postgres):
            if server is not None:
                server.stop()

    def wait_for_api(self, *, timeout_s: float = 60) -> None:
        """Return when the API says it is ready."""
        wait_until(lambda: self.readiness() == 200, what="the API is not ready", timeout_s=timeout_s)

    def readiness(self) -> int:
        """What /readyz answers; 0 when nothing does."""
        try:
            with urllib.request.urlopen(f"{self.api_url}/readyz", timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def health(self) -> tuple[str, dict[str, str]]:
        """What /readyz says: its status and its checks; empty when nothing answers."""
        try:
            with urllib.request.urlopen(f"{self.api_url}/readyz", timeout=10) as answer:
                body = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            body = json.loads(error.read())
        except OSError:
            return "", {}
        return body["status"], body["checks"]

    async def clone(self, name: str) -> str:
        """Copy the database as it is (nobody may be connected); returns the copy's address for the service's role."""
        await run_as_superuser(
            self.postgres.superuser_url,
            [f"CREATE DATABASE {name} TEMPLATE {DATABASE} OWNER {OWNER} STRATEGY FILE_COPY"],
        )
        return self.postgres.url("linli_app", name)

    @asynccontextmanager
    async def opened(self, *, clock: Clock | None = None, pool: int = 10) -> AsyncIterator[Services]:
        """Give this process database and clients, as a composition root does."""
        settings = Settings.from_environ(self.environ())
        services = wiring.build_services(settings, clock=clock)
        await db.open_database(settings.database_url, max_size=pool)
        try:
            yield services
        finally:
            await wiring.close_services(services)


@contextmanager
def ground(*, broker: bool = False) -> Iterator[Ground]:
    """A started and migrated ground in a folder of its own; shows the logs when the run fails."""
    base = processes.STATE_OF_ROOT if processes.is_root() else Path(tempfile.gettempdir())
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="ground-", dir=base))
    folder.chmod(0o755)
    made = Ground(folder, broker=broker)
    try:
        made.start()
        # In a process of its own: Piccolo keeps the first database a process migrated, and tests migrate their own.
        environ = {**os.environ, **made.environ()}
        done = subprocess.run(
            [sys.executable, "-m", "backend.cli", "migrate"], env=environ, cwd=ROOT, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        yield made
    except BaseException:
        for log in sorted(folder.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}", file=sys.stderr)
        raise
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def wait_until(true: Callable[[], object], *, what: str, timeout_s: float = 60) -> None:
    """Return when `true()` is; fails with `what` when it does not become so."""
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.05)
