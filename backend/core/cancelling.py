"""Ending a task that was cancelled although the cancellation got lost on its way.

`asyncio.wait_for` of Python 3.11 returns the result instead of raising CancelledError when both come at once, and redis
sends every command through it; a rollback on a broken connection raises its own error in its place. A loop that goes
on then is waited for without end.
"""

import asyncio


def end_if_cancelled() -> None:
    """Raise CancelledError if this task was told to end. Loops that wait for servers call it each time round."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
