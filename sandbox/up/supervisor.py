"""Runs the whole stack of a checkout: servers first, then the service's processes, and keeps all of them running."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping

from rich.console import Console

from sandbox.servers import processes
from sandbox.servers.mosquitto import MosquittoServer
from sandbox.servers.mosquitto_program import NoMosquitto, find_mosquitto, programs_folder
from sandbox.servers.postgres import PostgresServer
from sandbox.servers.processes import ServerFailed
from sandbox.servers.valkey import ValkeyServer
from sandbox.up.children import Child, end_leftovers, stop_all
from sandbox.up.screen import first_screen
from sandbox.up.state import CHECKOUT, AlreadyRunning, State, open_state

WANTED_PORTS = {
    "api": 8000,
    "sandbox": 8100,
    "postgres": 0,
    "valkey": 0,
    "mqtt": 0,
    "wechat_pay": 0,
    "wechat": 0,
    "apns": 0,
    "aliyun": 0,
}
BRIDGE_USER = "linli-bridge"
READY_S = 60.0
Say = Callable[[str], None]


class Interrupted(Exception):
    """Ctrl-C came while the stack was starting."""


class Stack:
    """Everything `linli up` runs. `start()`, then `tend()` every fraction of a second, at the end `stop()`.

    The story and the fault runs may start one of their own: `Stack(open_state(folder=FOLDER), say=print)`.
    """

    def __init__(self, state: State, *, say: Say, interrupted: Callable[[], bool] = lambda: False) -> None:
        self.state = state
        self.say = say
        self.interrupted = interrupted
        self.environment: dict[str, str] = {}
        self.children: list[Child] = []
        self.ports: dict[str, int] = {}
        self.postgres: PostgresServer | None = None
        self.valkey: ValkeyServer | None = None
        self.broker: MosquittoServer | None = None

    def start(self) -> None:
        """Start servers and service, oldest need first; raises ServerFailed with the end of the log that tells why."""
        end_leftovers(self.state.read_pids(), mark=str(sys.executable))
        self.ports = self.state.choose_ports(WANTED_PORTS)
        known = self.state.secrets()
        self.postgres = PostgresServer(
            folder=self.state.folder / "postgres",
            passwords=self.state.postgres_passwords(),
            port=self.ports["postgres"],
        )
        self.postgres.start()
        self.valkey = ValkeyServer(
            folder=self.state.folder / "valkey", password=known["valkey"], port=self.ports["valkey"]
        )
        self.valkey.start()
        self._check()
        self.broker = self._make_broker()
        self.ports |= {"postgres": self.postgres.port, "valkey": self.valkey.port}
        self.environment = self._environment(known)
        self._write_down()
        self._prepare()
        self._check()
        self.broker.start()
        if self.broker.warning:
            self.say(self.broker.warning)
        self._start_service()
        self.state.write_ports(self.ports)
        self._write_down()

    def _check(self) -> None:
        if self.interrupted():
            raise Interrupted

    def _make_broker(self) -> MosquittoServer:
        try:
            program = find_mosquitto(folder=programs_folder(self.state.folder), say=self.say)
        except NoMosquitto as error:
            self.say(str(error))
            program = None
        broker = MosquittoServer(folder=self.state.folder / "broker", program=program, port=self.ports["mqtt"])
        processes.private_folder(broker.folder, owner=broker.user)
        return broker

    def _environment(self, known: Mapping[str, str]) -> dict[str, str]:
        assert self.postgres is not None
        assert self.valkey is not None
        ports = self.ports
        return {
            "LINLI_STATE_DIR": str(self.state.folder),
            "LINLI_DATABASE_URL": self.postgres.app_url,
            "LINLI_OWNER_DATABASE_URL": self.postgres.owner_url,
            "LINLI_REDIS_URL": self.valkey.url,
            "LINLI_MQTT_URL": f"mqtt://{BRIDGE_USER}:{known['mqtt_bridge']}@127.0.0.1:{ports['mqtt']}",
            "LINLI_TOKEN_SECRET": known["token_secret"],
            "LINLI_DATA_KEYS": known["data_keys"],
            "LINLI_LOOKUP_KEY": known["lookup_key"],
            "LINLI_API_HOST": "127.0.0.1",
            "LINLI_API_PORT": str(ports["api"]),
            "LINLI_PUBLIC_URL": f"http://127.0.0.1:{ports['api']}",
            "LINLI_ADMIN": "on",
            "LINLI_EVIDENCE_DIR": str(self.state.folder / "evidence"),
            "LINLI_LOG_FORMAT": os.environ.get("LINLI_LOG_FORMAT", "json"),
            "LINLI_SANDBOX_PORT": str(ports["sandbox"]),
        }

    def _write_down(self) -> None:
        self.state.write_env(self.environment)
        self.state.write_pids(self.pids())

    def pids(self) -> dict[str, int]:
        """Return the process id of everything that runs, by name."""
        servers = {"postgres": self.postgres, "valkey": self.valkey, "broker": self.broker}
        found = {name: server.pid for name, server in servers.items() if server is not None}
        found |= {child.name: child.pid for child in self.children}
        return {name: pid for name, pid in found.items() if pid is not None}

    def _child_environment(self) -> dict[str, str]:
        return processes.python_environment({**self.environment, "LINLI_SUPERVISED": "1"})

    def _prepare(self) -> None:
        for name in ("evidence", "logs"):
            processes.private_folder(self.state.folder / name)
        program = subprocess.Popen(
            [sys.executable, "-m", "sandbox.up.prepare"],
            cwd=CHECKOUT,
            env=self._child_environment(),
            start_new_session=True,
            umask=0o077,
        )
        while program.poll() is None:
            if self.interrupted():
                processes.stop(program)
                raise Interrupted
            time.sleep(0.05)
        if program.returncode != 0:
            raise ServerFailed("Migrating or loading the demo failed; what it said is above.")

    def _start_service(self) -> None:
        """Start the outside world first (its settings are the service's), then the service."""
        told = self.state.folder / "sandbox.json"
        told.unlink(missing_ok=True)
        arguments = ["-m", "sandbox", "--state-dir", str(self.state.folder), "--port", str(self.ports["sandbox"])]
        for name in ("wechat_pay", "wechat", "apns", "aliyun"):
            arguments += [f"--{name.replace('_', '-')}-port", str(self.ports[name])]
        control = f"http://127.0.0.1:{self.ports['sandbox']}/"
        outside = self._child("sandbox", arguments, lambda: told.exists() and answers(control, any_status=True))
        self._start_child(outside)
        outside.wait_until_ready(timeout_s=READY_S, interrupted=self.interrupted)
        self._check()
        self.environment |= json.loads(told.read_text())["settings"]
        self.state.write_env(self.environment)
        ready = f"http://127.0.0.1:{self.ports['api']}/readyz"
        for name in ("bridge", "ingest", "worker", "api"):
            is_ready = (lambda: answers(ready)) if name == "api" else None
            self._start_child(self._child(name, ["-m", "backend.cli", name], is_ready))
        self._start_child(self._child("access", ["-m", "sandbox.up.watch_access"], None))
        for child in self.children:
            child.wait_until_ready(timeout_s=READY_S, interrupted=self.interrupted)
        self._check()

    def _child(self, name: str, arguments: list[str], is_ready: Callable[[], bool] | None) -> Child:
        return Child(
            name=name,
            argv=[sys.executable, *arguments],
            env=self._child_environment(),
            log=self.state.logs / f"{name}.log",
            cwd=CHECKOUT,
            is_ready=is_ready,
        )

    def _start_child(self, child: Child) -> None:
        self.children.append(child)
        child.start()

    def tend(self) -> None:
        """Start again what died, servers before the service."""
        changed = False
        for name, server in (("PostgreSQL", self.postgres), ("Valkey", self.valkey), ("The MQTT broker", self.broker)):
            if server is not None and server.pid is None:
                self.say(f"{name} ended; it starts again now. Its log: {server.log}")
                server.start()
                changed = True
        for child in self.children:
            changed = child.tend(self.say) or changed
        if changed:
            self._write_down()

    def stop(self) -> None:
        """Stop the service, then the servers; nothing is left behind."""
        stop_all(self.children)
        for server in (self.broker, self.valkey, self.postgres):
            if server is not None:
                server.stop()
        self.state.write_pids({})


def answers(url: str, *, any_status: bool = False) -> bool:
    """Say whether something answers at `url` with success (or at all)."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return any_status
    except OSError:
        return False


def run_up(*, fresh: bool) -> int:
    """Run the stack until Ctrl-C (or SIGTERM, or the terminal closes); returns the exit code."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    enough = threading.Event()
    cause = "an error"

    def stop_soon(number: int, _frame: object) -> None:
        nonlocal cause
        cause = signal.Signals(number).name
        enough.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop_soon)

    def say(text: str) -> None:
        console.print(text, markup=False)

    try:
        state = open_state()
    except AlreadyRunning as error:
        say(str(error))
        return 1
    except PermissionError as error:
        say(f"{error.filename} belongs to another user: run as that user, or set LINLI_STATE_DIR to a folder of yours.")
        return 1
    started = time.monotonic()
    if fresh:
        end_leftovers(state.read_pids(), mark=str(sys.executable))
        forget(state, say)
    stack = Stack(state, say=say, interrupted=enough.is_set)
    try:
        say("Starting ...")
        stack.start()
        took = time.monotonic() - started
        say(first_screen(environment=stack.environment, broker=broker_name(stack), took_s=took, state=state))
        while not enough.wait(0.2):
            stack.tend()
    except Interrupted:
        pass
    except ServerFailed as error:
        say(str(error))
        return 1
    finally:
        say(f"Stopping ({cause}) ...")
        stack.stop()
        state.close()
        say("Stopped.")
    return 0


def broker_name(stack: Stack) -> str:
    """Return name and version of the broker that runs."""
    return stack.broker.version if stack.broker is not None else ""


def forget(state: State, say: Say) -> None:
    """Empty the state folder, a leftover PostgreSQL of a killed run first ended."""
    pid_file = state.folder / "postgres" / "data" / "postmaster.pid"
    if pid_file.exists():
        processes.end_leftover(int(pid_file.read_text().splitlines()[0]), name="postgres", sig=signal.SIGQUIT)
    state.clear()
    say(f"Started anew: the data in {state.folder} are forgotten.")
