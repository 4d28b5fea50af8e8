"""The ground the tests stand on: real PostgreSQL and Valkey, one pair per pytest process (with xdist: per worker).

Each test runs in a transaction that is rolled back (`database`); races use a database of their own, cloned from the
migrated template (`committing`).
"""

import asyncio
import base64
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import hypothesis
import psutil
import pytest
from piccolo.engine.postgres import PostgresEngine
from redis.asyncio import Redis

from backend import wiring
from backend.cli.migrations import migrate
from backend.core import crypto, db, jobs
from backend.core.crypto import Keyring
from backend.core.live import Live
from backend.core.services import Services
from backend.core.settings import Settings
from sandbox.servers import processes
from sandbox.servers.postgres import APP, DATABASE, OWNER, PostgresPasswords, PostgresServer, run_as_superuser
from sandbox.servers.valkey import ValkeyServer
from tests.fakes import FixedClock

# A busy machine is no failure: how long an example takes is not what the properties are about.
hypothesis.settings.register_profile("linli", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("linli")

WORKING_DATABASE = "tests"
NOW = datetime(2026, 6, 10, 2, 0, tzinfo=UTC)
"""A Wednesday in June, 10:00 in Beijing: the start of a peak band, no sharp band, no quiet hours."""


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A short-lived folder the servers' user can reach; folders of killed runs are swept first."""
    base = (
        processes.STATE_OF_ROOT / "tests"
        if processes.is_root()
        else Path(tempfile.gettempdir()) / f"linli-{os.getuid()}"
    )
    base.mkdir(parents=True, exist_ok=True)
    for old in base.iterdir():
        if old.name.isdigit() and not psutil.pid_exists(int(old.name)):
            shutil.rmtree(old, ignore_errors=True)
    folder = base / str(os.getpid())
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(server_folder: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL whose database `linli` is migrated and never written to: it is the template of all others."""
    server = PostgresServer(folder=server_folder / "pg", passwords=PostgresPasswords(), durable=False)
    server.start()
    try:
        with ThreadPoolExecutor(max_workers=1) as thread:
            thread.submit(lambda: asyncio.run(migrate(owner_url=server.owner_url))).result()
            clone = [f"CREATE DATABASE {WORKING_DATABASE} TEMPLATE {DATABASE} OWNER {OWNER}"]
            thread.submit(lambda: asyncio.run(run_as_superuser(server.superuser_url, clone))).result()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session", autouse=True)
def _keyring() -> None:
    """Install the keys that a composition root installs for a process."""
    crypto.install_keyring(Keyring(keys={1: bytes(range(32))}, lookup_key=bytes(range(32, 64))))


@pytest.fixture(scope="session")
def wired() -> None:
    """Install the job handlers of all features, as a composition root does; whoever has a database has them."""
    jobs.wire(wiring.collect_jobs())


@pytest.fixture(scope="session")
async def _engine(postgres: PostgresServer, wired: None) -> AsyncIterator[PostgresEngine]:
    engine = await db.open_database(postgres.url(APP, WORKING_DATABASE), min_size=1, max_size=4)
    db.uninstall_engine()
    yield engine
    try:
        async with asyncio.timeout(20):  # closing waits for every connection that was taken
            await engine.close_connection_pool()
    except TimeoutError:
        pytest.fail("a test took a connection and never gave it back")


@pytest.fixture
async def database(_engine: PostgresEngine) -> AsyncIterator[PostgresEngine]:
    """The database, as the service's role, inside a transaction that is rolled back when the test ends."""
    db.install_engine(_engine)
    transaction = _engine.transaction()
    await transaction.__aenter__()
    try:
        yield _engine
    finally:
        await transaction.rollback()
        await transaction.__aexit__(None, None, None)
        db.uninstall_engine()  # a test that forgets this fixture fails, instead of committing under the others' feet


@pytest.fixture
async def committing(postgres: PostgresServer, wired: None) -> AsyncIterator[PostgresEngine]:
    """A database of the test's own, cloned from the template, in which transactions commit: for races."""
    name = f"race_{uuid4().hex[:12]}"
    create = f"CREATE DATABASE {name} TEMPLATE {DATABASE} OWNER {OWNER} STRATEGY FILE_COPY"
    await run_as_superuser(postgres.superuser_url, [create])
    engine = await db.open_database(postgres.url(APP, name), min_size=2, max_size=40)
    try:
        yield engine
    finally:
        try:
            async with asyncio.timeout(10):  # closing waits for every connection that was taken
                await db.close_database()
        except TimeoutError:
            pytest.fail("a connection of this test's database was taken and never given back")
        finally:
            await run_as_superuser(postgres.superuser_url, [f"DROP DATABASE {name} WITH (FORCE)"])


@pytest.fixture(scope="session")
def valkey_server(server_folder: Path) -> Iterator[ValkeyServer]:
    """A Valkey that keeps nothing on disk."""
    server = ValkeyServer(folder=server_folder / "valkey", password="test-password", durable=False)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
async def valkey(valkey_server: ValkeyServer) -> AsyncIterator[Redis]:
    """A connection to an empty Valkey."""
    client = Redis.from_url(valkey_server.url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
def now() -> datetime:
    """The instant of the test: a Wednesday in June, 10:00 in Beijing."""
    return NOW


@pytest.fixture
def clock(now: datetime) -> FixedClock:
    """A clock that stands at `now` until the test moves it."""
    return FixedClock(now)


@pytest.fixture
def settings(postgres: PostgresServer, valkey_server: ValkeyServer, tmp_path: Path) -> Settings:
    """The settings of a process in the tests. Every outside address is a closed port: nothing ever calls out."""
    closed = "http://127.0.0.1:9"
    outside = ("SMS_URL", "VOICE_URL", "WECHAT_URL", "WECHAT_PAY_URL", "APNS_URL")
    return Settings.from_environ(
        {
            "LINLI_DATABASE_URL": postgres.url(APP, WORKING_DATABASE),
            "LINLI_REDIS_URL": valkey_server.url,
            "LINLI_MQTT_URL": "mqtt://linli:password@127.0.0.1:9",
            "LINLI_TOKEN_SECRET": "a-secret-for-tests-of-at-least-32-characters",
            "LINLI_DATA_KEYS": "1:" + base64.b64encode(bytes(range(32))).decode(),
            "LINLI_LOOKUP_KEY": base64.b64encode(bytes(range(32, 64))).decode(),
            "LINLI_EVIDENCE_DIR": str(tmp_path / "evidence"),
            **{f"LINLI_{name}": closed for name in outside},
        }
    )


@pytest.fixture
async def services(settings: Settings, valkey: Redis, clock: FixedClock) -> AsyncIterator[Services]:
    """The clients of a process, as `backend.wiring` makes them, with a clock that stands still.

    A test puts a fake gateway of its own in with `services.put(Gateway, fake)`.
    """
    made = wiring.build_services(settings, clock=clock, valkey=valkey)
    yield made
    await made.get(Live).close()


@pytest.fixture
async def api(database: PostgresEngine, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the whole application, in this process and in the test's transaction; texts in English."""
    from backend.app import create_app  # the whole service: only tests that ask for it load it

    transport = httpx.ASGITransport(app=create_app(services), raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://linli.test", headers={"Accept-Language": "en"}
    ) as client:
        yield client
