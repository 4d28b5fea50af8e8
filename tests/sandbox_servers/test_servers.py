"""The embedded servers keep what they acknowledged, and never outlive whoever started them."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from redis import Redis

from backend.stations.rules.broker import hash_password
from sandbox.servers import processes
from sandbox.servers.mosquitto import BRIDGE_RULES, BrokerUser, MosquittoServer
from sandbox.servers.mosquitto_program import NoMosquitto, find_mosquitto, programs_folder
from sandbox.servers.postgres import PostgresPasswords, PostgresServer
from sandbox.servers.valkey import ValkeyServer
from sandbox.up.state import CHECKOUT

ROOT = Path(__file__).parents[2]


def kill(pid: int | None) -> None:
    """Kill with -9 and wait until the process is gone."""
    assert pid is not None
    process = psutil.Process(pid)
    process.kill()
    process.wait(10)


@pytest.fixture(scope="module")
def cluster(server_folder: Path) -> Iterator[PostgresServer]:
    """A durable PostgreSQL of its own, in a path with a space; each test leaves it running."""
    server = PostgresServer(folder=server_folder / "own cluster", passwords=PostgresPasswords())
    server.start()
    try:
        yield server
    finally:
        server.stop()


class TestPostgresServer:
    async def test_keeps_what_was_committed_through_kill_9(self, cluster: PostgresServer) -> None:
        connection = await asyncpg.connect(cluster.owner_url)
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        kill(cluster.pid)
        await connection.close(timeout=5)
        cluster.start()
        connection = await asyncpg.connect(cluster.owner_url)
        try:
            assert await connection.fetchval("SELECT number FROM kept") == 7
        finally:
            await connection.close()

    async def test_keeps_its_port_and_the_service_out_of_the_schema(self, cluster: PostgresServer) -> None:
        port = cluster.port
        cluster.stop()
        cluster.start()
        assert cluster.port == port
        connection = await asyncpg.connect(cluster.app_url)
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("CREATE TABLE mine (number int)")
        finally:
            await connection.close()

    async def test_refuses_a_wrong_password(self, cluster: PostgresServer) -> None:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(cluster.app_url.replace(cluster.passwords.app, "guess"))

    def test_starts_over_the_pid_file_of_a_process_that_is_gone(self, cluster: PostgresServer) -> None:
        cluster.stop()
        pid_file = cluster.data / "postmaster.pid"
        pid_file.write_text(f"{os.getpid()}\n{cluster.data}\n")
        cluster.start()
        assert cluster.pid is not None


class TestValkeyServer:
    def test_keeps_what_it_acknowledged_through_kill_9(self, server_folder: Path) -> None:
        server = ValkeyServer(folder=server_folder / "own valkey", password="p")
        server.start()
        try:
            with Redis.from_url(server.url) as client:
                client.xadd("stream", {"n": "1"})
            kill(server.pid)
            server.start()
            with Redis.from_url(server.url) as client:
                assert client.xlen("stream") == 1
                assert client.config_get("appendfsync") == {"appendfsync": "always"}
        finally:
            server.stop()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the watchdog does it, a second later")
class TestLaunch:
    def test_ends_the_child_when_its_starter_is_killed(self, tmp_path: Path) -> None:
        starter = textwrap.dedent(
            f"""
            import sys, time
            sys.path.insert(0, {str(ROOT)!r})
            from sandbox.servers import processes
            print(processes.launch(["sleep", "1000"]).pid, flush=True)
            time.sleep(1000)
            """
        )
        with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            child = psutil.Process(int(process.stdout.readline()))
            process.kill()
        # Orphaned, it is not ours to wait for, and a container may have nobody who reaps it.
        gone, alive = psutil.wait_procs([child], timeout=5)
        assert gone or alive[0].status() == psutil.STATUS_ZOMBIE


class TestWatchdog:
    def test_ends_the_children_when_its_pipe_closes(self) -> None:
        with subprocess.Popen(["sleep", "1000"]) as child:
            line = f"{child.pid} {int(psutil.Process(child.pid).create_time())} {int(signal.SIGKILL)}\n"
            watchdog = ROOT / "sandbox" / "servers" / "watchdog.py"
            subprocess.run([sys.executable, watchdog], input=line.encode(), check=True, timeout=20)
            assert child.wait(5) == -signal.SIGKILL

    def test_spares_a_process_that_was_given_the_same_number_later(self) -> None:
        with subprocess.Popen(["sleep", "1000"]) as child:
            line = f"{child.pid} 1 {int(signal.SIGKILL)}\n"
            watchdog = ROOT / "sandbox" / "servers" / "watchdog.py"
            subprocess.run([sys.executable, watchdog], input=line.encode(), check=True, timeout=20)
            assert child.poll() is None
            child.kill()


@pytest.fixture(scope="module")
def broker(server_folder: Path) -> Iterator[MosquittoServer]:
    """A Mosquitto that knows the bridge and the charger C1 of station S1."""
    try:
        program = find_mosquitto(folder=programs_folder(CHECKOUT / ".linli"), say=print)
    except NoMosquitto as error:
        pytest.skip(str(error))
    server = MosquittoServer(folder=server_folder / "own broker", program=program)
    bridge = BrokerUser(name="bridge", password_hash=hash_password("b"), rules=BRIDGE_RULES)
    server.set_access(
        users=(bridge,),
        passwords=f"C1:{hash_password('c')}\n",
        acl="user C1\ntopic write ev/v1/S1/charger/C1/state\ntopic read ev/v1/S1/charger/C1/cmd\n",
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Talker:
    """A client that runs its own loop until something it waits for has come."""

    def __init__(self, broker: MosquittoServer, user: str, password: str) -> None:
        self.said: list[tuple[str, str]] = []
        self.client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        self.client.username_pw_set(user, password)
        self.client.on_connect = lambda _c, _d, _f, reason, _p: self._hear("connect", reason)
        self.client.on_subscribe = lambda _c, _d, _m, reasons, _p: self._hear("subscribe", reasons[0])
        self.client.on_publish = self._published
        self.client.on_message = self._received
        self.client.connect("127.0.0.1", broker.port)

    def _hear(self, what: str, reason: ReasonCode) -> None:
        self.said.append((what, str(reason)))

    def _published(self, _c: Client, _d: object, _mid: int, reason: ReasonCode, _p: Properties) -> None:
        self._hear("publish", reason)

    def _received(self, _c: Client, _d: object, message: MQTTMessage) -> None:
        self.said.append((message.topic, message.payload.decode()))

    def wait_for(self, what: str) -> str:
        """Run the loop until `what` was said (at most 5 s), and return it."""
        for _ in range(500):
            for index, (name, text) in enumerate(self.said):
                if name == what:
                    del self.said[index]
                    return text
            self.client.loop(0.01)
        raise AssertionError(f"no {what}; so far: {self.said}")


class TestMosquittoServer:
    def test_refuses_a_wrong_password(self, broker: MosquittoServer) -> None:
        assert Talker(broker, "C1", "guess").wait_for("connect") == "Not authorized"

    def test_lets_a_device_write_its_own_topics_only(self, broker: MosquittoServer) -> None:
        device = Talker(broker, "C1", "c")
        assert device.wait_for("connect") == "Success"
        device.client.publish("ev/v1/S1/charger/C1/state", b"{}", qos=1)
        assert device.wait_for("publish") in ("Success", "No matching subscribers")
        device.client.publish("ev/v1/S1/charger/C2/state", b"{}", qos=1)
        assert device.wait_for("publish") == "Not authorized"

    def test_keeps_retained_states_through_kill_9_once_they_were_saved(self, broker: MosquittoServer) -> None:
        device = Talker(broker, "C1", "c")
        device.wait_for("connect")
        saved = broker.folder / "broker.db"
        saved.unlink(missing_ok=True)
        number = 0
        while number < 120 or not saved.exists():
            device.client.publish("ev/v1/S1/charger/C1/state", f'{{"n": {number}}}', qos=1, retain=True)
            device.wait_for("publish")
            number += 1
            assert number < 5000  # the signal saves long before autosave_interval would
            if number == 100 and broker.pid is not None:
                os.kill(broker.pid, signal.SIGUSR1)
        kill(broker.pid)
        broker.start()
        bridge = Talker(broker, "bridge", "b")
        bridge.wait_for("connect")
        bridge.client.subscribe("ev/v1/#", qos=1)
        assert int(bridge.wait_for("ev/v1/S1/charger/C1/state").split()[1].rstrip("}")) >= 90

    def test_takes_a_new_device_without_a_restart(self, broker: MosquittoServer) -> None:
        bridge = BrokerUser(name="bridge", password_hash=hash_password("b"), rules=BRIDGE_RULES)
        before = broker.pid
        broker.set_access(users=(bridge,), passwords=f"C9:{hash_password('n')}\n", acl="")
        # The signal is handled at the broker's next turn: try until it was.
        answers = {Talker(broker, "C9", "n").wait_for("connect") for _ in range(20)}
        assert "Success" in answers
        assert broker.pid == before


class TestFreePort:
    def test_passes_over_a_port_somebody_listens_on(self, broker: MosquittoServer) -> None:
        assert processes.free_port(preferred=broker.port) != broker.port
