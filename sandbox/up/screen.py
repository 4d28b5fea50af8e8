"""The one screen that `linli up` prints: addresses, logins, what to try next."""

import csv
from collections.abc import Mapping, Sequence

from sandbox.demo.people import COMPANIES, PEOPLE
from sandbox.demo.stations import STATIONS, TESTER_STATIONS
from sandbox.up.state import CHECKOUT, State

ROLES = {
    "guard": "guard on site",
    "lead": "lead (社区充电服务单元长)",
    "operator": "operator",
    "inspector": "inspector",
}
COMMUNITIES = CHECKOUT / "data" / "beijing_communities.csv"


def _logins() -> list[tuple[str, str, str]]:
    companies = {company.code: company.name for company in COMPANIES}
    return [
        (
            person.phone,
            person.key,
            f"{ROLES[person.role]} of {companies[person.company or '']}" if person.role else "resident",
        )
        for person in PEOPLE
    ]


def _place_to_look() -> tuple[str, str, str]:
    """Return name, latitude and longitude of the compound beside which the tester's own stations stand."""
    name = next(station.compound for station in STATIONS if station.code in TESTER_STATIONS)
    with COMMUNITIES.open(encoding="utf-8-sig", newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["name"] == name)
    return name, row["lat"], row["lng"]


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
        ("Console", f"{api}/admin/", "./dev linli console demo: its logins, with the codes of the moment"),
        ("Outside world", sandbox, "SMS, calls, pushes, payments, cars, faults (never in production)"),
        ("MQTT", f"mqtt://{mqtt}", broker),
    ]
    files = [
        ("Settings", f"{state.env_file}   (set -a; . FILE gives a shell all of them)"),
        ("Logs", f"{state.logs}   (one file a process)"),
    ]
    phone = PEOPLE[0].phone
    compound, lat, lng = _place_to_look()
    tries = [
        "curl -H 'Content-Type: application/json' -d '{\"phone\": \"" + phone + f"\"}}' {api}/v1/auth/sms-codes",
        f"curl {sandbox}/sms      # the code that was sent",
        f"curl '{api}/v1/stations?lat={lat}&lng={lng}&coord=gcj02'      # beside {compound}",
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
            _lines(_logins()),
            "",
            "Try",
            *[f"  {line}" for line in tries],
            "",
        ]
    )
