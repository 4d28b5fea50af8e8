"""The clients a process holds, by type: filled at the composition root, handed to controllers and jobs."""

from typing import Any, TypeVar, cast

T = TypeVar("T")


class Services:
    """A typed container: `services.get(Live)` gives what was put in for that type."""

    def __init__(self) -> None:
        self._by_type: dict[type[Any], object] = {}

    def put(self, kind: type[T], instance: T) -> None:
        """Offer `instance` as the process's `kind` (a class or a Protocol)."""
        self._by_type[kind] = instance

    def get(self, kind: type[T]) -> T:
        """Return the process's `kind`; a RuntimeError names what the composition root forgot."""
        try:
            return cast(T, self._by_type[kind])
        except KeyError:
            raise RuntimeError(f"{kind.__name__} is not wired in this process (backend/wiring.py)") from None
