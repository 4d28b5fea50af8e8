"""The processes of the service under the supervisor: started in order, restarted when they die, stopped in reverse."""

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from sandbox.servers import processes
from sandbox.servers.processes import ServerFailed

STEADY_S = 20
"""A process that ran this long has started well: its next death is restarted at once."""
LONGEST_PAUSE_S = 15.0
LOG_BYTES = 20 * 1024 * 1024


@dataclass
class Child:
    """One process of the service: how it is started, and how it fared."""

    name: str
    argv: list[str]
    env: Mapping[str, str]
    log: Path
    cwd: Path
    is_ready: Callable[[], bool] | None = None
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    restart_at: float = field(default=0.0)

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self.process.pid if self.process is not None and self.process.poll() is None else None

    def start(self) -> None:
        """Start the process, its log appended to (cut when it grew past 20 MB)."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        self.process = processes.launch(self.argv, env=self.env, log=self.log, cwd=self.cwd)
        self.started = time.monotonic()
        self.restart_at = 0.0

    def wait_until_ready(self, *, timeout_s: float, interrupted: Callable[[], bool]) -> None:
        """Return when it is ready; raises ServerFailed when it died or the time is over."""
        deadline = time.monotonic() + timeout_s
        while not interrupted():
            if self.pid is None:
                raise ServerFailed(f"{self.name} ended at its start ({self.log}):\n{processes.log_tail(self.log)}")
            if self.is_ready is None or self.is_ready():
                return
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} is not ready ({self.log}):\n{processes.log_tail(self.log)}")
            time.sleep(0.05)

    def tend(self, say: Callable[[str], None]) -> bool:
        """Restart the process if it died; says so, and returns whether a process was started.

        At once when it had run well; with growing pauses when it dies again and again.
        """
        if self.process is None or self.process.poll() is None:
            return False
        moment = time.monotonic()
        if self.restart_at == 0.0:
            code = self.process.returncode
            cause = f"signal {-code}" if code < 0 else f"code {code}"
            self.deaths = 1 if moment - self.started > STEADY_S else self.deaths + 1
            pause = 0.0 if self.deaths == 1 else min(LONGEST_PAUSE_S, 0.5 * 2 ** (self.deaths - 1))
            self.restart_at = moment + pause
            when = "now" if pause == 0 else f"in {pause:.0f} s"
            say(f"{self.name} ended ({cause}); it starts again {when}. Its log: {self.log}")
        if moment < self.restart_at:
            return False
        self.start()
        return True

    def stop(self, *, timeout_s: float = 12) -> None:
        """Stop the process and whatever it started."""
        if self.process is not None:
            processes.stop(self.process, timeout_s=timeout_s)
            self.process = None


def stop_all(children: list[Child]) -> None:
    """Ask all of them to stop at once, then wait for each."""
    for child in children:
        if child.pid is not None and child.process is not None:
            child.process.terminate()
    for child in children:
        child.stop()


def end_leftovers(pids: Mapping[str, int], *, mark: str) -> None:
    """End what an earlier, killed run left behind: processes of those ids whose command line bears `mark`.

    They were told to end when their parent died; here they are waited for, and killed when they do not.
    """
    left: list[psutil.Process] = []
    for pid in pids.values():
        try:
            process = psutil.Process(pid)
            if mark in " ".join(process.cmdline()):
                left += [process, *process.children(recursive=True)]
                process.terminate()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    _, alive = psutil.wait_procs(left, timeout=10)
    for process in alive:
        processes.with_kill(process)
    psutil.wait_procs(alive, timeout=5)
