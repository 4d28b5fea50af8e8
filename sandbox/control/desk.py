"""What the control port acts on: the fleet, once its plan exists, and the providers."""

from __future__ import annotations

from typing import Any

from sandbox.fleet.errors import SandboxError
from sandbox.fleet.fleet import Fleet
from sandbox.providers import Providers

__all__ = ["Answer", "Desk", "NotReady"]

Answer = dict[str, Any]


class NotReady(SandboxError):
    """The part asked for is not running yet."""

    status = 503
    title = "Not ready yet"


class Desk:
    """The tester's desk. The fleet comes when the seed has written its plan; the providers may be left out in tests."""

    def __init__(self, *, fleet: Fleet | None = None, providers: Providers | None = None) -> None:
        self._fleet = fleet
        self._providers = providers

    def seat_fleet(self, fleet: Fleet) -> None:
        """The fleet runs now."""
        self._fleet = fleet

    @property
    def has_fleet(self) -> bool:
        return self._fleet is not None

    @property
    def fleet(self) -> Fleet:
        """The fleet; raises `NotReady`."""
        if self._fleet is None:
            raise NotReady(
                code="no_fleet",
                detail="The simulated devices are not running: their plan has not been written yet.",
                hint="`linli seed` writes it; `./dev up` does so by itself.",
            )
        return self._fleet

    @property
    def providers(self) -> Providers:
        """The providers; raises `NotReady`."""
        if self._providers is None:
            raise NotReady(code="no_providers", detail="The providers are not running.", hint="Use `./dev up`.")
        return self._providers
