"""The rig of the fleet's tests."""

import pytest

from tests.fakes import FixedClock
from tests.sandbox.fleet.rig import Rig


@pytest.fixture(scope="session", autouse=True)
def _wired() -> None:
    """The sandbox stands outside of the service: nothing of it is wired here."""


@pytest.fixture
def rig(clock: FixedClock) -> Rig:
    """One station at real speed, nobody there."""
    return Rig(clock)
