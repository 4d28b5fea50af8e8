"""Finds the running stack, or starts one of its own on free ports in a folder that is removed afterwards."""

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.servers import processes
from sandbox.up.state import open_state, read_env
from sandbox.up.supervisor import Stack, answers

Say = Callable[[str], None]


@contextmanager
def running_stack(*, say: Say) -> Iterator[dict[str, str]]:
    """Give the LINLI_* settings of a stack that runs: this checkout's where it is up, else one for the story."""
    environment = read_env()
    if environment and answers(environment["LINLI_PUBLIC_URL"] + "/readyz"):
        say(f"Using the stack that runs at {environment['LINLI_PUBLIC_URL']}.")
        yield environment
        return
    say("No stack is up: starting one on free ports (./dev up keeps one running).")
    base = processes.STATE_OF_ROOT / "stories" if processes.is_root() else Path(tempfile.gettempdir())
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="linli-story-", dir=base))
    os.environ["LINLI_STATE_DIR"] = str(folder)
    try:
        yield from _own_stack(say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _own_stack(say: Say) -> Iterator[dict[str, str]]:
    stack = Stack(open_state(), say=say)
    enough = threading.Event()

    def tend() -> None:
        while not enough.wait(0.2):
            stack.tend()

    tender = threading.Thread(target=tend, name="tend", daemon=True)
    try:
        stack.start()
        tender.start()
        yield stack.environment
    finally:
        enough.set()
        if tender.is_alive():
            tender.join()
        stack.stop()
        stack.state.close()
