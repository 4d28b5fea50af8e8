"""Spans leave the house: they say which path was called and how long it took, and nothing of the caller."""

from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from backend.core.tracing import spanned


async def answer(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.mark.parametrize("query", ["lat=39.942908&lng=116.426399&coord=gcj02", "ticket=secret-of-30-seconds"])
async def test_spans_hold_no_position_no_secret_and_no_address(query: str) -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    transport = httpx.ASGITransport(app=spanned(answer, provider=provider), client=("203.0.113.9", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://linli.test") as client:
        assert (await client.get(f"/v1/stations?{query}")).text == "ok"
    said = "\n".join(str(dict(span.attributes or {})) for span in kept.get_finished_spans())
    assert "/v1/stations" in said
    assert not [part for part in (*query.replace("=", "&").split("&")[1::2], "203.0.113.9") if part in said]
