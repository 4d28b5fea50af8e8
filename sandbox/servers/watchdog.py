"""Ends the children of a process that died, where the kernel cannot (macOS).

Reads `pid started signal` lines from a pipe until its other end closes.
"""

import contextlib
import os
import signal
import sys

import psutil


def main() -> None:
    """Collect the children named on standard input; when it closes, send each its signal if it is still the same."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    children: dict[int, tuple[int, int]] = {}
    for line in sys.stdin:
        pid, started, signal_number = (int(part) for part in line.split())
        children[pid] = (started, signal_number)
    for pid, (started, signal_number) in children.items():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if int(psutil.Process(pid).create_time()) == started:
                os.kill(pid, signal_number)


if __name__ == "__main__":
    main()
