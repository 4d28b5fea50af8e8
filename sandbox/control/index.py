"""The index of the control port: everything a tester can do, with bodies to copy. Plain HTML, nothing from the net."""

from __future__ import annotations

from html import escape
from typing import Any, Final, NamedTuple

from litestar import MediaType, Request, Response, get

from sandbox.control.desk import Answer, Desk


class Deed(NamedTuple):
    """One line of the index."""

    method: str
    path: str
    body: str
    says: str


INDEX: Final[dict[str, tuple[Deed, ...]]] = {
    "What the service sent": (
        Deed("GET", "/sms", "?phone=13800000001&since=", "text messages, oldest first; `code` is the one-time code"),
        Deed("GET", "/calls", "?phone=13800000011&since=", "ringing calls with what was read out"),
        Deed("GET", "/pushes", "?token=&since=", "pushes that APNs accepted"),
        Deed("POST", "/pushes/{token}/unregister", "", "delete the app from that phone: pushes get 410"),
        Deed("GET", "/pushes/huawei", "?token=&since=", "pushes that Huawei's Push Kit accepted for Android phones"),
        Deed("POST", "/pushes/huawei/{token}/unregister", "", "delete the app from that Android phone"),
        Deed("GET", "/wechat/messages", "?phone=13800000001&since=", "subscribe messages that WeChat delivered"),
    ),
    "The WeChat user": (
        Deed("GET", "/wechat/orders", "", "orders placed at WeChat Pay, newest first"),
        Deed("POST", "/wechat/orders/{prepay_id or out_trade_no}/pay", "", "pay it; the signed callback follows"),
        Deed("POST", "/wechat/login-code", '{"phone": "13800000001"}', "a code for POST /v1/auth/wechat"),
        Deed(
            "POST",
            "/wechat/consents",
            '{"phone": "13800000001", "template": "order_ready"}',
            "accept one message of a template (`times` more); then POST /v1/me/wechat-consents",
        ),
        Deed("GET", "/wechat/consents", "", "what WeChat would still deliver"),
        Deed("POST", "/wechat/consents/withdraw", '{"phone": "13800000001"}', "switch our messages off: 43101"),
        Deed("GET", "/providers/faults", "", "how a provider can be made to fail"),
        Deed("POST", "/providers/faults", '{"provider": "apns", "fault": "503", "times": 1}', "let it fail"),
    ),
    "Cars": (
        Deed("GET", "/cars", "?station=", "cars and where they are"),
        Deed(
            "POST",
            "/cars",
            '{"plate": "京AD12345", "kind": "bev-ncm", "battery_wh": 60000, "soc_pct": 40}',
            "a car: bev-ncm, bev-lfp or fuel",
        ),
        Deed("POST", "/cars/{plate}/approach", '{"station": "…"}', "the approach camera reads its plate"),
        Deed("POST", "/cars/{plate}/park", '{"station": "…", "bay": "…"}', "it enters, or waits before a raised lock"),
        Deed("POST", "/cars/{plate}/plug", '{"connector": "CHARGER/1"}', "plug in; {} takes the first free one"),
        Deed("POST", "/cars/{plate}/unplug", "", "take the gun out"),
        Deed("POST", "/cars/{plate}/leave", "", "drive away"),
        Deed("POST", "/cars/{plate}/tow", "", "take it away whatever it does: a clean start"),
    ),
    "Stations, devices, faults": (
        Deed("GET", "/stations", "", "simulated stations; where `life` is true cars come and go by themselves"),
        Deed("GET", "/stations/{code}", "", "its bays, locks, connectors, lanes and devices"),
        Deed("GET", "/devices/{code}", "", "what it reports, what is so, its newest messages"),
        Deed("GET", "/faults", "", "every fault with the devices it fits"),
        Deed("POST", "/faults", '{"device": "…", "fault": "smoke_alarm"}', "cause one; `clear` repairs everything"),
        Deed(
            "POST", "/speed", '{"speed": 20, "station": "…"}', "energy and heat, 0.1 to 60 times the clock; never time"
        ),
        Deed("GET", "/livez", "", "whether the fleet is connected and keeps up"),
    ),
}

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
    "td{padding:.15rem .8rem .15rem 0;vertical-align:top}code{background:#8882;padding:.1rem .3rem}"
    "h2{margin:1.5rem 0 .3rem;font-size:1.1rem}"
)


@get("/", media_type=MediaType.HTML)
async def show_index(request: Request[Any, Any, Any], desk: Desk) -> Response[str] | Response[Answer]:
    """What can be done here: as a page, or as JSON for `Accept: application/json`."""
    if "application/json" in request.headers.get("accept", ""):
        deeds = [
            {"topic": topic, "method": deed.method, "path": deed.path, "body": deed.body, "what": deed.says}
            for topic, lines in INDEX.items()
            for deed in lines
        ]
        answer: Answer = {"items": deeds}
        return Response(answer, media_type=MediaType.JSON)
    parts = [f"<!doctype html><meta charset=utf-8><title>Linli sandbox</title><style>{_STYLE}</style>"]
    parts.append("<h1>Linli sandbox</h1><p>Stands in for the outside world. Never part of production.</p>")
    for topic, lines in INDEX.items():
        parts.append(f"<h2>{escape(topic)}</h2><table>")
        for deed in lines:
            path = escape(deed.path)
            shown = f'<a href="{path}">{path}</a>' if deed.method == "GET" and "{" not in deed.path else path
            parts.append(
                f"<tr><td>{deed.method}<td><code>{shown}</code><td><code>{escape(deed.body)}</code>"
                f"<td>{escape(deed.says)}</tr>"
            )
        parts.append("</table>")
    return Response("".join(parts), media_type=MediaType.HTML)


@get("/livez")
async def show_health(desk: Desk) -> Answer:
    """Whether the fleet runs: devices, connections, how far the last tick of physics was behind."""
    if not desk.has_fleet:
        return {"fleet": False, "devices": 0, "connected": 0}
    fleet = desk.fleet
    return {
        "fleet": True,
        "devices": len(fleet.entries),
        "connected": fleet.connected,
        "published": fleet.published,
        "behind_s": round(fleet.behind_s, 3),
    }
