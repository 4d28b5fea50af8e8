"""The one screen that `linli up` prints: addresses, logins, what to try next."""

from collections.abc import Mapping, Sequence

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


def _lines(rows: Sequence[tuple[str, ...]]) -> str:
    """Return the rows as columns of plain text: a terminal may wrap them, never cut or reflow what is to be copied."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  " + "  ".join([text.ljust(width) for text, width in zip(row, widths, strict=False)] + [row[-1]])
        for row in rows
    )


def first_screen(*, environment: Mapping[str, str], broker: str, took_s: float, state: State) -> str:
    """Return what a newcomer needs to see; `environment` holds the stack's settings."""
    api = environment["LINLI_PUBLIC_URL"]
    sandbox = f"http://127.0.0.1:{environment['LINLI_SANDBOX_PORT']}"
    mqtt = environment["LINLI_MQTT_URL"].rpartition("@")[2]
    addresses = [
        ("API", api, "also /docs  /openapi.json  /readyz"),
        ("Outside world", sandbox, "SMS, calls, pushes, payments, cars, faults (never in production)"),
        ("MQTT", f"mqtt://{mqtt}", broker),
    ]
    files = [
        ("Settings", f"{state.env_file}   (set -a; . FILE gives a shell all of them)"),
        ("Logs", f"{state.logs}   (one file a process)"),
    ]
    phone = CAST[0][1]
    tries = [
        "curl -H 'Content-Type: application/json' -d '{\"phone\": \"" + phone + f"\"}}' {api}/v1/auth/sms-codes",
        f"curl {sandbox}/sms      # the code that was sent",
        f"curl '{api}/v1/stations?lat=39.9087&lng=116.3975&coord=gcj02&radius_m=3000'",
        "./dev story                     # the main job, step by step, against this stack",
        "./dev linli doctor              # what runs, which version, what is wrong",
    ]
    return "\n".join(
        [
            "",
            f"Linli 邻里充电 runs, ready in {took_s:.1f} s. Ctrl-C stops everything.",
            "",
            _lines(addresses),
            _lines(files),
            "",
            "Logins: phone number, then the SMS code that the outside world shows",
            _lines([(phone, name, role) for name, phone, role in CAST]),
            "",
            "Try",
            *[f"  {line}" for line in tries],
            "",
        ]
    )
