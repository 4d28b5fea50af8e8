"""OpenTelemetry, switched on by one setting: spans of HTTP requests, sent by OTLP over HTTP."""

from typing import TYPE_CHECKING, Any

from litestar.types import ASGIApp

from backend.core.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

SECOND_HALF_IS_PRIVATE = ("http.url", "http.target", "url.full")
PRIVATE = ("url.query", "net.peer.ip", "client.address", "network.peer.address")


def trace(app: ASGIApp, *, settings: Settings) -> ASGIApp:
    """Wrap `app` in OpenTelemetry's ASGI layer where LINLI_OTLP_ENDPOINT is set; else return it as it is."""
    if not settings.otlp_endpoint:
        return app
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "linli-api"}))
    endpoint = settings.otlp_endpoint.rstrip("/") + "/v1/traces"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return spanned(app, provider=provider)


def spanned(app: ASGIApp, *, provider: "TracerProvider") -> ASGIApp:
    """Wrap `app` so that each request is a span of `provider`, without query string and client address."""
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    return OpenTelemetryMiddleware(  # type: ignore[return-value]
        app, tracer_provider=provider, server_request_hook=_hide_private
    )


def _hide_private(span: "Span", _scope: Any) -> None:
    """A query holds the caller's position (never stored, domain.md), tickets and the calendar's secret."""
    known = dict(getattr(span, "attributes", None) or {})
    for name in SECOND_HALF_IS_PRIVATE:
        if name in known:
            span.set_attribute(name, str(known[name]).partition("?")[0])
    for name in PRIVATE:
        if name in known:
            span.set_attribute(name, "")
