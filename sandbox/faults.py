"""The switch by which a tester makes a provider fail: named faults, each for a number of requests."""

from collections import deque
from collections.abc import Collection


class Faults:
    """Faults waiting for the next requests, first added, first met."""

    def __init__(self, known: Collection[str]) -> None:
        self.known = frozenset(known)
        self._waiting: deque[str] = deque()

    def add(self, name: str, *, times: int = 1) -> None:
        """Let the next `times` requests meet the fault `name`; ValueError names the known ones."""
        if name not in self.known:
            raise ValueError(f"no fault {name!r}; known: {', '.join(sorted(self.known))}")
        self._waiting.extend([name] * times)

    def clear(self) -> None:
        """Forget all waiting faults."""
        self._waiting.clear()

    def take(self) -> str | None:
        """Return the fault for this request, if one waits."""
        return self._waiting.popleft() if self._waiting else None

    def __len__(self) -> int:
        return len(self._waiting)
