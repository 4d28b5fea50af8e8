"""A process of `linli up` ends with its parent, also where its own helpers (Granian's workers) would stay behind."""

import os
import signal
import threading
import time

VARIABLE = "LINLI_SUPERVISED"
"""Set by `linli up` for its children; a process under systemd or in a container does not follow its parent."""


def follow_parent_if_supervised() -> None:
    """Watch the parent in a thread, and end this process when it is gone (killed with -9, it cannot tell us)."""
    if os.environ.get(VARIABLE):
        follow_parent()


def follow_parent() -> None:
    """End this process, by SIGTERM to itself, within a second of its parent's death."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
