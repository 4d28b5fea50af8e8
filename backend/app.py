"""The API process: Litestar behind Granian, composed from the features' routes."""

import gc
import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import prometheus_client
from litestar import Litestar, Request, Response, get
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Tag
from litestar.static_files import create_static_files_router
from litestar.types import ASGIApp
from redis.asyncio import Redis
from redis.exceptions import RedisError

from backend import wiring
from backend.console.controllers import mount_console
from backend.core import db, jobs, lifeline
from backend.core.auth import (
    Tokens,
    provide_caller,
    provide_principal,
    provide_staff,
    provide_ticket_principal,
)
from backend.core.clock import Clock
from backend.core.edge import Edge
from backend.core.logging import configure_logging
from backend.core.problems import EXCEPTION_HANDLERS, choose_locale
from backend.core.services import Services
from backend.core.settings import Settings
from backend.core.tracing import trace
from backend.discovery.controllers_lane import PlainSearch
from backend.discovery.service.board import Board
from backend.telemetry import reach

VERSION = "0.1.0"
MAX_BODY_BYTES = 256 * 1024
"""Largest body of a path that does not say otherwise (evidence uploads do)."""

DESCRIPTION = """
The service of Linli 邻里充电: find a pilot charging station near home, sign a beneficial-charging agreement, book,
charge, pay, and be warned. JSON in snake_case; money in fen (`*_fen`), energy in Wh (`*_wh`), prices in 1/10000 yuan
per kWh (`*_e4`), instants in RFC 3339. Errors are RFC 9457 problem documents with a stable `code`; texts follow
`Accept-Language` (zh-CN, en). Unsafe calls accept `Idempotency-Key`. Positions carry `coord=gcj02|wgs84`.
Live paths (WebSocket, SSE) take `?ticket=` from `POST /v1/auth/tickets`.
"""


async def provide_services(state: State) -> Services:
    """Litestar dependency `services`."""
    return state["services"]  # type: ignore[no-any-return]


async def provide_now(state: State) -> datetime:
    """Litestar dependency `now`: the instant of this request."""
    clock: Clock = state["services"].get(Clock)
    return clock.now()


async def provide_locale(request: Request[Any, Any, Any]) -> str:
    """Litestar dependency `locale`: "zh-CN" or "en"."""
    return choose_locale(request.headers.get("accept-language"))


@get("/livez", tags=["ops"], operation_id="livez", summary="Is the process alive?", include_in_schema=True)
async def livez() -> dict[str, str]:
    """Say that the process answers; touches nothing else."""
    return {"status": "ok"}


@get("/readyz", tags=["ops"], operation_id="readyz", summary="Can the process do its work?")
async def readyz(services: Services, now: datetime) -> Response[dict[str, Any]]:
    """Ask PostgreSQL and Valkey, and count jobs that failed for good; 503 when one of the two does not answer.

    The broker, and whether a bridge and an ingest process work, are told as well: without one of them devices do not
    reach us, `status` is `degraded`, and the API goes on serving (200).
    """
    checks: dict[str, str] = {}
    lanes: dict[str, str] = {}
    try:
        lanes = await reach.check_lanes(now=now)
        checks["postgresql"] = "ok"
    except Exception as error:  # noqa: BLE001  whatever it is, the truthful answer is "not ready"
        checks["postgresql"] = f"unreachable: {type(error).__name__}"
    try:
        await services.get(Redis).ping()
        checks["valkey"] = "ok"
    except (RedisError, OSError) as error:
        checks["valkey"] = f"unreachable: {type(error).__name__}"
    ready = all(value == "ok" for value in checks.values())
    checks |= {"broker": await reach.check_broker(url=services.get(Settings).mqtt_url), **lanes}
    status = "unavailable" if not ready else "ok" if all(value == "ok" for value in checks.values()) else "degraded"
    body: dict[str, Any] = {"status": status, "checks": checks}
    if checks["postgresql"] == "ok":
        body["held_jobs"] = len(await jobs.list_held())
    return Response(body, status_code=200 if ready else 503)


@get("/metrics", tags=["ops"], operation_id="metrics", summary="Prometheus metrics", media_type="text/plain")
async def metrics() -> Response[bytes]:
    """Return the metrics of this process in Prometheus' text format."""
    return Response(prometheus_client.generate_latest(), media_type=prometheus_client.CONTENT_TYPE_LATEST)


def docs_assets() -> Path:
    """Return the folder of Swagger UI's files, from an installed package, so that /docs works without the internet."""
    spec = importlib.util.find_spec("flask_swagger_ui")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("flask-swagger-ui is not installed: run ./dev up, or pip install -r requirements.txt")
    return Path(next(iter(spec.submodule_search_locations))) / "dist"


def openapi_config() -> OpenAPIConfig:
    """Return the OpenAPI 3.1 text's frame and the pages that show it."""
    return OpenAPIConfig(
        title="Linli 邻里充电",
        version=VERSION,
        description=DESCRIPTION,
        path="/",
        render_plugins=[
            SwaggerRenderPlugin(
                path="/docs",
                js_url="/docs-assets/swagger-ui-bundle.js",
                css_url="/docs-assets/swagger-ui.css",
                standalone_preset_js_url="/docs-assets/swagger-ui-standalone-preset.js",
                favicon='<link rel="icon" href="/docs-assets/favicon-32x32.png">',
            ),
            JsonRenderPlugin(path="/openapi.json"),
        ],
        components=Components(
            security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
        ),
        security=[{"bearer": []}, {}],
        tags=[Tag(name="ops", description="For operations: liveness, readiness, metrics.")],
    )


def build_app(services: Services, *, lifespan: Any = None) -> Litestar:
    """Return the Litestar application over `services`, without the edge around it."""
    return Litestar(
        route_handlers=[
            *wiring.collect_routes(),
            livez,
            readyz,
            metrics,
            create_static_files_router(path="/docs-assets", directories=[docs_assets()], include_in_schema=False),
            *([mount_console(services)] if services.get(Settings).admin == "on" else []),
        ],
        dependencies={
            "services": Provide(provide_services),
            "now": Provide(provide_now),
            "locale": Provide(provide_locale),
            "caller": Provide(provide_caller),
            "principal": Provide(provide_principal),
            "staff": Provide(provide_staff),
            "ticket_principal": Provide(provide_ticket_principal),
        },
        exception_handlers=EXCEPTION_HANDLERS,
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=openapi_config(),
        state=State({"services": services}),
        lifespan=[lifespan] if lifespan else [],
        logging_config=None,
        debug=False,
    )


def create_app(services: Services, *, lifespan: Any = None) -> ASGIApp:
    """Return the whole ASGI application: the edge around Litestar."""
    settings = services.get(Settings)
    return Edge(
        trace(PlainSearch(build_app(services, lifespan=lifespan), services=services), settings=settings),
        tokens=services.get(Tokens),
        clock=services.get(Clock),  # type: ignore[type-abstract]
        per_minute=settings.rate_per_minute,
        trusted_proxies=frozenset(filter(None, (part.strip() for part in settings.trusted_proxies.split(",")))),
    )


def served() -> ASGIApp:
    """Return the application for Granian (factory): settings from the environment, database in its lifespan."""
    lifeline.follow_parent()
    settings = Settings.from_environ()
    configure_logging(process="api", log_format=settings.log_format, level=settings.log_level)
    services = wiring.build_services(settings)

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        await db.open_database(settings.database_url, max_size=settings.database_pool_size)
        await services.get(Board).warm()
        gc.collect()
        gc.freeze()
        try:
            yield
        finally:
            await wiring.close_services(services)

    return create_app(services, lifespan=lifespan)


def main() -> None:
    """Serve the API with Granian until it is told to stop."""
    from granian.constants import HTTPModes, Interfaces, Loops
    from granian.http import HTTP1Settings
    from granian.server import Server

    settings = Settings.from_environ()
    Server(
        "backend.app:served",
        address=settings.api_host,
        port=settings.api_port,
        interface=Interfaces.ASGI,
        workers=1,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        factory=True,
        websockets=True,
        log_access=False,
        backlog=1024,
        http1_settings=HTTP1Settings(header_read_timeout=30_000, max_buffer_size=65_536),
    ).serve()
