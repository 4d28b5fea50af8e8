"""The sandbox's providers as fixtures: started once, emptied for each test. Import them in a package's conftest."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox import providers as sandbox_providers
from sandbox.providers import Providers


@pytest.fixture(scope="session")
async def running_providers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Providers]:
    """All providers on free ports; callbacks are retried after milliseconds, refunds settle at once."""
    folder: Path = tmp_path_factory.mktemp("providers")
    started = await sandbox_providers.start(state_dir=folder, retry_gaps_s=(0.02, 0.02, 0.05, 0.1), refund_delay_s=0)
    yield started
    await started.close()


@pytest.fixture
async def providers(running_providers: Providers) -> AsyncIterator[Providers]:
    """The providers with nothing sent and no fault waiting."""
    yield running_providers
    for faults in running_providers.faults.values():
        faults.clear()
    running_providers.sent_sms.clear()
    running_providers.calls.clear()
    running_providers.pushes.clear()
    running_providers.apns.unregistered.clear()
