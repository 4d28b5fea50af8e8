"""The state folder of a checkout: data of the servers, generated secrets, chosen ports, logs and the environment file.

It is `.linli/` in the checkout. For root it lies below /var/lib/linli, keyed by the checkout's path, with `.linli`
linking to it: PostgreSQL does not run as root, and its user may not reach the checkout (a home below /root).
"""

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.servers import processes
from sandbox.servers.postgres import PostgresPasswords

CHECKOUT = Path(__file__).parents[2]
KEPT_BY_FRESH = ("mosquitto", "up.lock")
"""What `--fresh` leaves: a fetched program, and the lock we hold."""


class AlreadyRunning(RuntimeError):
    """Another `linli up` of this checkout holds the lock."""


def state_folder(checkout: Path = CHECKOUT) -> Path:
    """Return the state folder of `checkout` for this user; LINLI_STATE_DIR overrides it."""
    if override := os.environ.get("LINLI_STATE_DIR"):
        return Path(override)
    if not processes.is_root():
        return checkout / ".linli"
    key = hashlib.sha256(str(checkout).encode()).hexdigest()[:12]
    return processes.STATE_OF_ROOT / f"state-{key}"


def _link_state(checkout: Path, folder: Path) -> None:
    link = checkout / ".linli"
    if folder == link or os.environ.get("LINLI_STATE_DIR"):
        return
    if link.is_symlink() and link.readlink() != folder:
        link.unlink()  # a checkout that was copied or moved brings the link of the old place
    if not link.exists():
        with contextlib.suppress(OSError):  # a convenience only: the checkout may be read-only
            link.symlink_to(folder)


@dataclass
class State:
    """The opened state folder, locked against a second `linli up`."""

    folder: Path
    lock: int

    @property
    def logs(self) -> Path:
        """Where each process writes its log."""
        return self.folder / "logs"

    @property
    def fleet_plan(self) -> Path:
        """The plan of the simulated fleet, written by the seed."""
        return self.folder / "fleet.json"

    @property
    def env_file(self) -> Path:
        """The LINLI_* variables of the running stack."""
        return self.folder / "env"

    def secrets(self) -> dict[str, str]:
        """Return the generated secrets, made at the first call."""
        path = self.folder / "secrets.json"
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        fresh = {
            "postgres_superuser": secrets.token_urlsafe(18),
            "postgres_owner": secrets.token_urlsafe(18),
            "postgres_app": secrets.token_urlsafe(18),
            "valkey": secrets.token_urlsafe(18),
            "mqtt_bridge": secrets.token_urlsafe(18),
            "token_secret": secrets.token_urlsafe(48),
            "data_keys": "1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
            "lookup_key": base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        merged = {**fresh, **known}
        if merged != known:
            processes.write_private(path, json.dumps(merged, indent=1))
        return merged

    def postgres_passwords(self) -> PostgresPasswords:
        """Return the passwords of the three roles."""
        known = self.secrets()
        return PostgresPasswords(
            superuser=known["postgres_superuser"], owner=known["postgres_owner"], app=known["postgres_app"]
        )

    def choose_ports(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """Return a free port per name: the wanted one when it is free (0: any), else last time's, else any."""
        path = self.folder / "ports.json"
        last: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        ports: dict[str, int] = {}
        for name, port in wanted.items():
            chosen = processes.free_port(preferred=port or last.get(name))
            if port and chosen != port:
                chosen = processes.free_port(preferred=last.get(name))
            while chosen in ports.values():
                chosen = processes.free_port()
            ports[name] = chosen
        self.write_ports(ports)
        return ports

    def write_ports(self, ports: Mapping[str, int]) -> None:
        """Remember the ports for the next start."""
        processes.write_private(self.folder / "ports.json", json.dumps(dict(ports), indent=1))

    def write_env(self, environment: Mapping[str, str]) -> None:
        """Write the environment file: `set -a; . .linli/env` gives a shell the stack's settings."""
        lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(environment.items()))
        processes.write_private(self.env_file, lines)

    def write_pids(self, pids: Mapping[str, int]) -> None:
        """Write who runs, for the next start after a crash, and for fault runs that kill one of them."""
        processes.write_private(self.folder / "pids.json", json.dumps(dict(pids), indent=1))

    def read_pids(self) -> dict[str, int]:
        """Return who ran when it was last written."""
        path = self.folder / "pids.json"
        try:
            pids: dict[str, int] = json.loads(path.read_text())
        except (OSError, ValueError):
            return {}
        return pids

    def clear(self) -> None:
        """Forget everything: data, secrets, keys, ports."""
        for entry in self.folder.iterdir():
            if entry.name in KEPT_BY_FRESH:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def close(self) -> None:
        """Give the lock back."""
        os.close(self.lock)


def open_state(checkout: Path = CHECKOUT, *, folder: Path | None = None) -> State:
    """Make the folder where needed and take its lock; raises AlreadyRunning. `folder`: another than the checkout's."""
    own = folder is None
    folder = folder or state_folder(checkout)
    folder.mkdir(parents=True, exist_ok=True)
    # Others may pass (PostgreSQL's user has to reach its data), not list or read.
    folder.chmod(0o711 if processes.is_root() else 0o700)
    if own:
        _link_state(checkout, folder)
    lock = os.open(folder / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise AlreadyRunning(f"`linli up` of {checkout} is running already (its state: {folder})") from None
    return State(folder=folder, lock=lock)


def read_env(checkout: Path = CHECKOUT) -> dict[str, str]:
    """Return the settings of this checkout's stack, as last written; empty when it never ran."""
    path = state_folder(checkout) / "env"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name: "".join(shlex.split(value)) for name, _, value in pairs}
