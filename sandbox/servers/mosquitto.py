"""The MQTT broker: Mosquitto on loopback with passwords and access rules from the registry.

Where no Mosquitto can be had, the wheel `iotcore` carries MQTT 5 without passwords, access rules and persistence, and
`warning` says so.
"""

import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from string import Template

from sandbox.servers import processes
from sandbox.servers.iotcore_broker import iotcore_arguments
from sandbox.servers.mosquitto_program import MosquittoProgram
from sandbox.servers.processes import ServerFailed

TEMPLATE = Path(__file__).with_name("mosquitto.conf")
IOTCORE_WARNING = (
    "The MQTT broker is the wheel `iotcore`, the last resort: it checks neither passwords nor access rules, keeps "
    "nothing over a restart, and speaks MQTT 5 only. Install mosquitto for real work."
)


@dataclass(frozen=True, kw_only=True)
class BrokerUser:
    """A user that is not a device: its password hash (`$7$…`) and what it may do (`topic read ev/v1/#`, ...)."""

    name: str
    password_hash: str
    rules: tuple[str, ...]


BRIDGE_RULES = (
    "topic read ev/v1/#",
    "topic write ev/v1/+/+/+/cmd",
    "topic read $SYS/broker/version",
    "topic read $SYS/broker/publish/messages/dropped",
)
"""The bridge hears every device and speaks only on `cmd`; `linli doctor` asks with its name which version answers, and
whether messages were dropped beyond the queues' bounds."""


def access_texts(users: tuple[BrokerUser, ...], *, passwords: str, acl: str) -> tuple[str, str]:
    """Return the password file and the access file: our users first, then the devices as they are given."""
    own_passwords = "".join(f"{user.name}:{user.password_hash}\n" for user in users)
    own_rules = "".join(f"user {user.name}\n" + "".join(f"{rule}\n" for rule in user.rules) + "\n" for user in users)
    return own_passwords + passwords, own_rules + acl


class MosquittoServer:
    """One broker in `folder`. Access texts are written before the start, and again later without a restart.

    `durable=False`, for benchmarks, keeps sessions and queues in memory only: saving them after every 5,000 changes
    costs a full queue each time, and would be what is measured.
    """

    def __init__(
        self, *, folder: Path, program: MosquittoProgram | None, port: int | None = None, durable: bool = True
    ) -> None:
        self.folder = folder
        self.log = folder / "mosquitto.log"
        self.port = port or 0
        self.program = program
        self.durable = durable
        self.user = processes.unprivileged_user()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def warning(self) -> str | None:
        """What this broker lacks, when it is not Mosquitto."""
        return IOTCORE_WARNING if self.program is None else None

    @property
    def version(self) -> str:
        """Name and version, for the first screen."""
        return f"Mosquitto {self.program.version}" if self.program is not None else "iotcore (last resort)"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def url(self, user: str, password: str) -> str:
        """Return the address for one user."""
        return f"mqtt://{user}:{password}@127.0.0.1:{self.port}"

    def set_access(self, *, users: tuple[BrokerUser, ...], passwords: str = "", acl: str = "") -> None:
        """Write the devices' access texts (`stations.service.broker_access`) and our users'; a running broker reloads.

        Mosquitto applies new access rules to present connections and drops nobody whose password still holds.
        """
        processes.private_folder(self.folder, owner=self.user)
        own_passwords, own_acl = access_texts(users, passwords=passwords, acl=acl)
        processes.write_private(self.folder / "passwords", own_passwords, owner=self.user)
        processes.write_private(self.folder / "acl", own_acl, owner=self.user)
        self.reload()

    def reload(self) -> None:
        """Let the running broker read its access files again."""
        if self._process is not None and self.program is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGHUP)

    def start(self) -> None:
        """Start and return when connections are accepted; a leftover of a killed run is ended first."""
        processes.private_folder(self.folder, owner=self.user)
        for name in ("passwords", "acl"):
            if not (self.folder / name).exists():
                processes.write_private(self.folder / name, "", owner=self.user)
        pid_file = self.folder / "broker.pid"
        self._end_leftover(pid_file)
        self.port = processes.free_port(preferred=self.port or None)
        config = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(port=self.port)
        if not self.durable:
            config = config.replace("persistence true", "persistence false")
        processes.write_private(self.folder / "mosquitto.conf", config, owner=self.user)
        if self.program is not None:
            # Relative names: the folder is the working directory, so that its path never reaches the configuration.
            self._process = processes.launch(
                [self.program.path, "-c", "mosquitto.conf"],
                log=self.log,
                user=self.user,
                cwd=self.folder,
                env={"PATH": "/usr/bin:/bin", "TZ": "UTC", **self.program.env},
            )
        else:
            # No log: it writes several lines a message.
            self._process = processes.launch(iotcore_arguments(self.folder, self.port), cwd=self.folder)
        pid_file.write_text(str(self._process.pid))
        deadline = time.monotonic() + 20
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerFailed(f"The MQTT broker did not start ({self.log}):\n{processes.log_tail(self.log)}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop cleanly: sessions, queues and retained states are on disk."""
        if self._process is not None:
            processes.stop(self._process)
            self._process = None

    def _end_leftover(self, pid_file: Path) -> None:
        try:
            pid = int(pid_file.read_text())
        except (OSError, ValueError):
            return
        for name in ("mosquitto", "python"):
            process = processes.running_program(pid, name=name)
            if process is not None and str(self.folder) == process.cwd():
                processes.end_leftover(pid, name=name, sig=signal.SIGTERM)
        pid_file.unlink(missing_ok=True)

    def _accepts(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False
