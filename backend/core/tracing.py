"""OpenTelemetry, switched on by one setting: spans of HTTP requests, sent by OTLP over HTTP."""

from litestar.types import ASGIApp

from backend.core.settings import Settings


def trace(app: ASGIApp, *, settings: Settings) -> ASGIApp:
    """Wrap `app` in OpenTelemetry's ASGI layer where LINLI_OTLP_ENDPOINT is set; else return it as it is."""
    if not settings.otlp_endpoint:
        return app
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "linli-api"}))
    endpoint = settings.otlp_endpoint.rstrip("/") + "/v1/traces"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return OpenTelemetryMiddleware(app, tracer_provider=provider)  # type: ignore[return-value]
