"""`linli doctor`: which server each address reaches, which version answers, and what is wrong."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

import asyncpg
import msgspec
import paho.mqtt.client as mqtt
import redis.asyncio as redis
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from redis.exceptions import RedisError
from rich.console import Console

from backend.cli import doctor_ingest, migrations
from backend.core import jobs
from backend.core.clock import SystemClock
from backend.core.settings import BadSetting, Settings

CLOCK_TOLERANCE_S = 2.0
OLDEST_POSTGRESQL = 16
TIMEOUT_S = 5
EXTENSIONS = ("btree_gist",)


@dataclass
class Finding:
    """What was found about one thing: a line, and below it what is wrong (empty: nothing)."""

    title: str
    text: str = ""
    wrong: list[str] = field(default_factory=list)


def shown_address(url: str) -> str:
    """Return `url` without user and password."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"


async def examine() -> int:
    """Print a line for everything that was looked at; returns 1 when something is wrong."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        settings = Settings.from_environ()
    except BadSetting as error:
        console.print(f"[red]✗[/red] settings\n{error}", markup=True)
        return 1
    checks: list[Callable[[Settings], Awaitable[Finding]]] = [
        _settings,
        _postgresql,
        _migrations,
        _clock,
        _held_jobs,
        _valkey,
        _broker,
        _ingest,
    ]
    sick = False
    for check in checks:
        finding = await check(settings)
        sick = sick or bool(finding.wrong)
        console.print("[red]✗[/red]" if finding.wrong else "[green]✓[/green]", finding.title, end="  ")
        console.print(finding.text, markup=False)
        for line in finding.wrong:
            console.print(f"    {line}", markup=False)
    return 1 if sick else 0


async def _settings(settings: Settings) -> Finding:
    finding = Finding("settings", f"complete; API at {settings.api_host}:{settings.api_port}")
    for name in ("aliyun_key_id", "wechat_app_id", "apns_key_file"):
        if not getattr(settings, name):
            finding.wrong.append(f"LINLI_{name.upper()} is empty: what it is for is not sent")
    for name in ("apns_key_file", "apns_ca_file"):
        path = getattr(settings, name)
        if path and not os.access(path, os.R_OK):
            finding.wrong.append(f"LINLI_{name.upper()}={path} cannot be read")
    return finding


async def _connect(settings: Settings) -> asyncpg.Connection:
    return await asyncpg.connect(settings.database_url, timeout=TIMEOUT_S, command_timeout=TIMEOUT_S)


def _why(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


DATABASE_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)


async def _postgresql(settings: Settings) -> Finding:
    finding = Finding("PostgreSQL", shown_address(settings.database_url))
    try:
        connection = await _connect(settings)
    except DATABASE_ERRORS as error:
        finding.wrong.append(f"LINLI_DATABASE_URL: {_why(error)}")
        return finding
    try:
        major = connection.get_server_version().major
        version = await connection.fetchval("SHOW server_version")
        role = await connection.fetchval("SELECT current_user")
        used, most = (
            await connection.fetchval("SELECT count(*) FROM pg_stat_activity"),
            int(await connection.fetchval("SHOW max_connections")),
        )
        finding.text += f" · version {version} · role {role} · {used} of {most} connections"
        if major < OLDEST_POSTGRESQL:
            finding.wrong.append(f"PostgreSQL {OLDEST_POSTGRESQL} or newer is needed")
        if await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
            finding.wrong.append("the service runs as a superuser: the audit log is append-only for linli_app alone")
        have = {row["extname"] for row in await connection.fetch("SELECT extname FROM pg_extension")}
        finding.wrong += [f"the extension {name} is missing" for name in EXTENSIONS if name not in have]
        if await connection.fetchval("SELECT to_regclass('audit_entry') IS NOT NULL") and await connection.fetchval(
            "SELECT has_table_privilege('audit_entry', 'DELETE')"
        ):
            finding.wrong.append("this role may delete from the audit log; migrate as the owner, run as linli_app")
        if used > most * 0.8:
            finding.wrong.append("connections are running out: raise max_connections or lower LINLI_DATABASE_POOL_SIZE")
    finally:
        await connection.close()
    return finding


async def _migrations(settings: Settings) -> Finding:
    finding = Finding("migrations")
    try:
        have, missing = (
            await migrations.applied(url=settings.database_url),
            await migrations.pending(url=settings.database_url),
        )
    except DATABASE_ERRORS as error:
        finding.wrong.append(_why(error))
        return finding
    unknown = set(have) - set(migrations.known())
    finding.text = f"{len(have)} applied"
    if missing:
        finding.wrong.append(f"{len(missing)} missing, first {missing[0]}: run linli migrate")
    if unknown:
        finding.wrong.append(f"{len(unknown)} are not of this version, e.g. {min(unknown)}: a newer one migrated")
    return finding


async def _clock(settings: Settings) -> Finding:
    finding = Finding("clock")
    clock = SystemClock()
    try:
        connection = await _connect(settings)
    except DATABASE_ERRORS as error:
        finding.wrong.append(_why(error))
        return finding
    try:
        before = clock.now()
        theirs: datetime = await connection.fetchval("SELECT clock_timestamp()")
        middle = before + (clock.now() - before) / 2
    finally:
        await connection.close()
    apart = abs((theirs.astimezone(UTC) - middle).total_seconds())
    finding.text = f"{apart * 1000:.0f} ms apart from PostgreSQL's"
    if apart > CLOCK_TOLERANCE_S:
        finding.wrong.append("this machine's clock and the database's differ: run NTP on both (timedatectl status)")
    return finding


async def _held_jobs(settings: Settings) -> Finding:
    finding = Finding("jobs")
    try:
        connection = await _connect(settings)
    except DATABASE_ERRORS as error:
        finding.wrong.append(_why(error))
        return finding
    try:
        waiting = await connection.fetchval(
            "SELECT count(*) FROM pgqueuer WHERE status = 'queued' AND execute_after < now() - interval '1 minute'"
        )
        held = await connection.fetch(
            "SELECT regexp_replace(entrypoint, $1 || '$', '') AS name, count(*) AS count, min(updated) AS since "
            "FROM pgqueuer WHERE status = 'failed' GROUP BY name ORDER BY name",
            jobs.TOLD_FIRST.replace(".", r"\."),
        )
    except asyncpg.UndefinedTableError:
        finding.wrong.append("there is no job queue yet: run linli migrate")
        return finding
    finally:
        await connection.close()
    finding.text = f"{sum(row['count'] for row in held)} held, {waiting} overdue"
    finding.wrong += [
        f"{row['name']}: {row['count']} failed for good since {row['since']:%Y-%m-%d %H:%M}; "
        f"see the worker's log, then: linli requeue {row['name']}"
        for row in held
    ]
    if waiting:
        finding.wrong.append(f"{waiting} jobs are overdue by more than a minute: does a worker run?")
    return finding


async def _valkey(settings: Settings) -> Finding:
    finding = Finding("Valkey", shown_address(settings.redis_url))
    client = redis.Redis.from_url(settings.redis_url, socket_connect_timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S)
    try:
        info = await client.info("server")
        finding.text += f" · version {info.get('valkey_version') or info.get('redis_version')}"
        try:
            config = await client.config_get("append*", "maxmemory-policy")
        except RedisError:
            finding.text += " · its configuration is closed to us"
            config = {}
        if config.get("appendfsync", "always") != "always" or config.get("appendonly", "yes") != "yes":
            finding.wrong.append(
                "set `appendonly yes` and `appendfsync always`: the bridge acknowledges a message once it is appended"
            )
        if config.get("maxmemory-policy", "noeviction") != "noeviction":
            finding.wrong.append("set `maxmemory-policy noeviction`: telemetry streams must not be thrown away")
    except (RedisError, OSError) as error:
        finding.wrong.append(f"LINLI_REDIS_URL: {_why(error)}")
    finally:
        await client.aclose()
    return finding


async def _ingest(settings: Settings) -> Finding:
    finding = Finding("ingest")
    try:
        load = await doctor_ingest.read_load(settings)
        fullest, entries, memory = await doctor_ingest.read_streams(settings)
    except (*DATABASE_ERRORS, RedisError) as error:
        finding.wrong.append(_why(error))
        return finding
    answer = await asyncio.to_thread(_ask_broker, settings.mqtt_url)
    finding.text, finding.wrong = doctor_ingest.describe(
        load, fullest=fullest, entries=entries, valkey_bytes=memory, broker_dropped=answer.dropped
    )
    return finding


class _BrokerAnswer(msgspec.Struct):
    connected: str = ""
    version: str = ""
    dropped: int | None = None


async def _broker(settings: Settings) -> Finding:
    finding = Finding("MQTT broker", shown_address(settings.mqtt_url))
    answer = await asyncio.to_thread(_ask_broker, settings.mqtt_url)
    if answer.connected != "Success":
        finding.wrong.append(f"LINLI_MQTT_URL: {answer.connected or 'no answer'}")
        return finding
    finding.text += f" · {answer.version or 'version not told'} · MQTT 5"
    return finding


def _ask_broker(url: str) -> _BrokerAnswer:
    """Connect as the bridge would, in a session that leaves nothing behind, and read the broker's version."""
    parts = urlsplit(url)
    answer = _BrokerAnswer()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, client_id=f"linli-doctor-{os.getpid()}")
    client.username_pw_set(unquote(parts.username or ""), unquote(parts.password or ""))
    if parts.scheme == "mqtts":
        client.tls_set()

    def connected(
        made: mqtt.Client, _data: object, _flags: mqtt.ConnectFlags, reason: ReasonCode, _props: Properties | None
    ) -> None:
        answer.connected = str(reason)
        if reason.is_failure:
            made.disconnect()
        else:
            made.subscribe([("$SYS/broker/version", 0), ("$SYS/broker/publish/messages/dropped", 0)])

    def received(made: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        text = message.payload.decode(errors="replace")
        if message.topic.endswith("dropped"):
            answer.dropped = int(text) if text.isdigit() else None
        else:
            answer.version = text
        if answer.version and answer.dropped is not None:
            made.disconnect()

    client.on_connect, client.on_message = connected, received
    try:
        client.connect(parts.hostname or "", parts.port or (8883 if parts.scheme == "mqtts" else 1883))
    except OSError as error:
        answer.connected = _why(error)
        return answer
    # A broker without $SYS topics (not Mosquitto) leaves the version open after a second and a half.
    for _ in range(15):
        if client.loop(0.1) != mqtt.MQTT_ERR_SUCCESS or (answer.version and answer.dropped is not None):
            break
    client.disconnect()
    return answer
