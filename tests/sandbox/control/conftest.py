"""The control port over a fleet without a broker and real providers."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from sandbox import providers
from sandbox.control.app import create_app
from sandbox.control.desk import Desk
from sandbox.providers import Providers
from tests.fakes import FixedClock
from tests.sandbox.fleet.rig import Rig


@pytest.fixture(scope="session", autouse=True)
def _wired() -> None:
    """The sandbox stands outside of the service: nothing of it is wired here."""


@pytest.fixture
def rig(clock: FixedClock) -> Rig:
    """One station, nobody there."""
    return Rig(clock)


@pytest.fixture(scope="module")
def outside_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the providers keep their keys."""
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="module")
async def outside(outside_folder: Path) -> AsyncIterator[Providers]:
    """The providers, on free ports."""
    running = await providers.start(state_dir=outside_folder)
    yield running
    await running.close()


@pytest.fixture
async def control(rig: Rig, outside: Providers) -> AsyncIterator[httpx.AsyncClient]:
    """A tester's client."""
    app = create_app(desk=Desk(fleet=rig.fleet, providers=outside))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox.test") as client:
        yield client
