"""The one screen that `linli up` prints: addresses, logins, what to try next."""

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sandbox.up.state import State

CAST = (
    ("alice", "13800000001", "resident with an agreement"),
    ("bob", "13800000002", "resident with an agreement"),
    ("charlie", "13800000003", "resident without one"),
    ("wang", "13800000011", "guard"),
    ("zhao", "13800000012", "lead (社区充电服务单元长)"),
    ("li", "13800000013", "operator"),
    ("qian", "13800000014", "operator, the second person"),
    ("sun", "13800000015", "inspector, reads only"),
    ("zhou", "13800000021", "operator of another company"),
)


def _grid(rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for row in rows:
        table.add_row(*row)
    return table


def first_screen(*, environment: Mapping[str, str], broker: str, took_s: float, state: State) -> RenderableType:
    """Return what a newcomer needs to see; `environment` holds the stack's settings."""
    api = environment["LINLI_PUBLIC_URL"]
    sandbox = f"http://127.0.0.1:{environment['LINLI_SANDBOX_PORT']}"
    mqtt = environment["LINLI_MQTT_URL"].rpartition("@")[2]
    addresses = [
        ("API", api, f"pages: {api}/docs   text: {api}/openapi.json   state: {api}/readyz"),
        ("Outside world", sandbox, "SMS codes, calls, pushes, payments, cars and faults; never in production"),
        ("MQTT", f"mqtt://{mqtt}", broker),
        ("Settings", str(state.env_file), "every address and password: set -a; . FILE"),
        ("Logs", str(state.logs), "one file a process"),
    ]
    first_phone = CAST[0][1]
    tries = [
        (f"curl -s {api}/v1/auth/sms-codes -d '{{\"phone\": \"{first_phone}\"}}' -H 'Content-Type: application/json'",),
        (f"curl -s {sandbox}/sms      # the code that was sent",),
        (f"curl -s '{api}/v1/stations?lat=39.9087&lng=116.3975&coord=gcj02&radius_m=3000'",),
        ("./dev story                 # the main job, step by step, against this stack",),
        ("./dev linli doctor          # what runs, which version, what is wrong",),
    ]
    return Group(
        Text(),
        Text(f"Linli 邻里充电 runs (ready in {took_s:.1f} s). Ctrl-C stops everything.", style="bold green"),
        Text(),
        _grid(addresses),
        Text("\nLogins (phone number, then the SMS code that the outside world shows):", style="bold"),
        _grid([(phone, name, role) for name, phone, role in CAST]),
        Text("\nTry:", style="bold"),
        _grid(tries),
        Text(),
    )
