"""Starting, watching and stopping programs so that none of them outlives whoever started it.

On Linux the kernel ends a child when its parent dies (`PR_SET_PDEATHSIG`); elsewhere one watchdog process holds the
reading end of a pipe and ends the children when the writing end closes. Both work when the parent is killed with -9.
"""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

import psutil

PR_SET_PDEATHSIG = 1
STATE_OF_ROOT = Path("/var/lib/linli")
SERVICE_USER = "linli"


class ServerFailed(RuntimeError):
    """A server did not start or stop; the text names the program and shows the end of its log."""


@dataclass(frozen=True, kw_only=True)
class User:
    """The unprivileged user that servers run as when we are root (PostgreSQL refuses to run as root)."""

    name: str
    uid: int
    gid: int


def is_root() -> bool:
    """Say whether this process is root."""
    return os.geteuid() == 0


@cache
def unprivileged_user() -> User | None:
    """Return the user for servers when we are root, creating `linli` where possible; None when we are not root.

    Where no user can be made (a read-only /etc) an existing `postgres` or `nobody` serves.
    """
    if not is_root():
        return None
    for name in (SERVICE_USER, None, "postgres", "nobody"):
        if name is None:
            _create_service_user()
            name = SERVICE_USER
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise ServerFailed("PostgreSQL does not run as root and no unprivileged user exists: run `useradd --system linli`")


def _create_service_user() -> None:
    program = shutil.which("useradd") or "/usr/sbin/useradd"
    if Path(program).exists():
        command = [program, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVICE_USER]
        subprocess.run(command, check=False, capture_output=True)


def give_to(path: Path, user: User | None) -> None:
    """Make `user` the owner of `path`; nothing when we are not root."""
    if user is not None:
        os.chown(path, user.uid, user.gid)


def private_folder(path: Path, *, owner: User | None = None) -> Path:
    """Make the folder with mode 0700 and return it."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    give_to(path, owner)
    return path


def write_private(path: Path, text: str, *, owner: User | None = None) -> None:
    """Write a file with mode 0600 from its first byte on, replacing an older one in one step."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    give_to(draft, owner)
    draft.replace(path)


def free_port(*, preferred: int | None = None) -> int:
    """Return a TCP port that is free on loopback: the preferred one when it is, else one the kernel picks."""
    for port in (preferred, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerFailed("no free TCP port on 127.0.0.1")


@cache
def _prctl() -> Callable[[int, int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    function = ctypes.CDLL(None, use_errno=True).prctl
    return lambda option, value: int(function(option, ctypes.c_ulong(value), 0, 0, 0))


def die_with_parent(on_parent_death: int, *, parent: int) -> None:
    """Ask the kernel to send `on_parent_death` to this process when its parent dies (Linux; elsewhere nothing).

    The parent may have died before we asked: then its pid is no longer ours, and we leave at once.
    """
    prctl = _prctl()
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, on_parent_death)
        if os.getppid() != parent:
            os.kill(os.getpid(), on_parent_death)


def launch(
    argv: Sequence[str | Path],
    *,
    log: Path | None = None,
    user: User | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    on_parent_death: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, tied to the life of this process.

    A session of its own keeps the terminal's Ctrl-C from the servers: whoever started them stops them in order.
    Call it from the main thread: the kernel ties the child to the thread that started it.
    """
    _prctl()  # load the C library before the fork
    parent = os.getpid()
    output: int | IO[bytes] = subprocess.DEVNULL if log is None else log.open("ab")
    try:
        process = subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(os.environ if env is None else env),
            cwd=cwd,
            start_new_session=True,
            umask=0o077,
            user=None if user is None else user.uid,
            group=None if user is None else user.gid,
            extra_groups=None if user is None else [],
            # after the change of user, which would clear it
            preexec_fn=lambda: die_with_parent(on_parent_death, parent=parent),
        )
    finally:
        if not isinstance(output, int):
            output.close()
    _watch(process.pid, on_parent_death)
    return process


_watchdog: IO[bytes] | None = None


def _watch(pid: int, on_parent_death: int) -> None:
    """Tell the watchdog of a child, where the kernel does not watch for us."""
    global _watchdog
    if _prctl() is not None:
        return
    if _watchdog is None:
        program = [sys.executable, str(Path(__file__).with_name("watchdog.py"))]
        _watchdog = subprocess.Popen(program, stdin=subprocess.PIPE, start_new_session=True).stdin
    if _watchdog is not None:
        started = int(psutil.Process(pid).create_time())
        _watchdog.write(f"{pid} {started} {on_parent_death}\n".encode())
        _watchdog.flush()


def stop(process: subprocess.Popen[bytes], *, sig: signal.Signals = signal.SIGTERM, timeout_s: float = 10) -> None:
    """Ask the process to end and wait; after `timeout_s` kill it and whatever it started."""
    if process.poll() is None:
        try:
            children = psutil.Process(process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            children = []
        process.send_signal(sig)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            for child in children:
                with_kill(child)


def with_kill(process: psutil.Process) -> None:
    """Kill a process that may be gone already."""
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def log_tail(log: Path, *, lines: int = 12) -> str:
    """Return the last lines of a log, for an error message."""
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"


def running_program(pid: int, *, name: str) -> psutil.Process | None:
    """Return the process `pid` when it lives and its program is `name`; pids from files may be stale or reused."""
    try:
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE and name in process.name():
            return process
    except psutil.NoSuchProcess:
        return None
    return None


def end_leftover(pid: int, *, name: str, sig: signal.Signals, timeout_s: float = 10) -> None:
    """End a server that an earlier, killed run left behind (where neither kernel nor watchdog could)."""
    process = running_program(pid, name=name)
    if process is None:
        return
    try:
        process.send_signal(sig)
        process.wait(timeout_s)
    except psutil.TimeoutExpired:
        with_kill(process)
    except psutil.NoSuchProcess:
        return


def python_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with `extra`, and no buffering of output."""
    return {**os.environ, "PYTHONUNBUFFERED": "1", **extra}
