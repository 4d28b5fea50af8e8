"""What every process shares when it starts: the features' routes and handlers, and the clients they are handed."""

from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import structlog
from litestar.types import ControllerRouterHandler
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from backend.core import crypto, db, jobs
from backend.core.auth import GrantSource, LoginSource, Tickets, Tokens
from backend.core.clock import Clock, SystemClock
from backend.core.live import Live
from backend.core.services import Services
from backend.core.settings import Settings
from backend.features import FEATURES

log = structlog.get_logger()

SERVING = (*FEATURES[1:], "discovery", "privacy", "reports")
"""The features with paths or handlers: all of them above the core."""


def collect_jobs() -> list[jobs.Jobs]:
    """Return the handlers of all features."""
    return [import_module(f"backend.{feature}.jobs").JOBS for feature in SERVING]


def collect_routes() -> list[ControllerRouterHandler]:
    """Return the HTTP and live paths of all features."""
    return [route for feature in SERVING for route in import_module(f"backend.{feature}.controllers").ROUTES]


def build_services(settings: Settings, *, clock: Clock | None = None, valkey: "Redis | None" = None) -> Services:
    """Install keyring and handlers, and make the clients of this process; nothing connects yet."""
    crypto.install_keyring(crypto.Keyring(settings.keyring_keys(), settings.lookup_key_bytes()))
    jobs.wire(collect_jobs())
    clock = clock or SystemClock()
    valkey = valkey or Redis.from_url(
        settings.redis_url,
        socket_connect_timeout=3,
        health_check_interval=15,
        retry=Retry(ExponentialBackoff(cap=1, base=0.05), 3),
    )
    services = Services()
    services.put(Settings, settings)
    services.put(Clock, clock)  # type: ignore[type-abstract]
    services.put(Redis, valkey)
    services.put(Live, Live(valkey))
    services.put(Tokens, Tokens(settings.token_secret, clock))
    services.put(Tickets, Tickets(valkey))
    from backend.accounts import service as accounts  # the features' own clients come after the core's
    from backend.accounts.service import logins

    services.put(GrantSource, GrantSource(lambda account_id: accounts.load_grants(account_id=account_id)))
    services.put(LoginSource, LoginSource(logins.is_open))
    for module in _gateways():
        module.put_gateways(services, settings)
    return services


def _gateways() -> Iterator[ModuleType]:
    """Yield the modules of the features that put clients of their own into a process."""
    for feature in SERVING:
        name = f"backend.{feature}.gateways"
        try:
            yield import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise


async def close_services(services: Services) -> None:
    """Close what `build_services` made and the database."""
    for module in _gateways():
        if hasattr(module, "close_gateways"):
            await module.close_gateways(services)
    await services.get(Live).close()
    await services.get(Redis).aclose()
    await db.close_database()
