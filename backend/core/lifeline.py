"""A process that ends with its parent, where a parent killed with -9 cannot say goodbye.

`linli up` follows its terminal this way, and Granian's worker its main process: orphaned, it would go on serving
the port beside the one that replaced it.
"""

import os
import signal
import threading
import time

VARIABLE = "LINLI_SUPERVISED"
"""Set by `linli up` for its children; a process under systemd or in a container does not follow its parent."""
PERIOD_S = 0.5
GRACE_S = 10.0


def follow_parent_if_supervised() -> None:
    """Follow the parent if that is `linli up`."""
    if os.environ.get(VARIABLE):
        follow_parent()


def follow_parent() -> None:
    """Send this process SIGTERM within a second of its parent's death, and end it hard when that is not heard."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PERIOD_S)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
