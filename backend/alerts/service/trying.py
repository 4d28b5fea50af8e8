"""Try rules on stored history: what would have fired, with the numbers in force or with others, nothing written."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from backend.alerts import store_rules
from backend.alerts.rules.changes import merge, problems
from backend.alerts.rules.quantities import Battery, Sample
from backend.alerts.rules.watch import ConnectorWatch, Finding
from backend.alerts.service import thresholds
from backend.alerts.service.thresholds import RuleNumbersInvalid
from backend.stations import service as stations
from backend.stations.rules.topology import ConnectorView, StationView
from backend.telemetry import service as telemetry
from backend.telemetry.service import Reading

CHUNK = timedelta(hours=6)
"""History is read in pieces of this length: a DC connector has 4,300 samples in one."""


class Fired(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the rules would have raised or cleared; `until` is when it cleared, null where it did not."""

    at: datetime
    until: datetime | None
    station_code: str
    charger_code: str
    connector: int
    code: str
    level: str
    value: float
    limit: float


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a try."""

    samples: int
    connectors: int
    fired: list[Fired]


async def try_rules(
    *,
    since: datetime,
    until: datetime,
    station_code: str | None = None,
    rules: dict[str, dict[str, float]] | None = None,
    version_id: UUID | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tried:
    """Run every stored sample of [since, until) through the rules, in the devices' own order.

    `rules` or a version's numbers are laid over those in force. Cars' own limits are those of their time. The history
    keeps the charger's voltage and current, which stand in for the pack's. Raises NotFound, RuleNumbersInvalid.
    """
    if rules and (found := problems(rules)):
        raise RuleNumbersInvalid(first=f"{found[0][0]}: {found[0][1]}", errors=[])
    version = None if version_id is None else await thresholds.get_version(version_id=version_id)
    chosen = (
        [await stations.get_station_by_code(code=station_code)]
        if station_code is not None
        else [s for s in await stations.list_stations() if s.has_devices]
    )
    if version is not None:
        chosen = [
            s
            for s in chosen
            if s.operator_company_id == version.operator_company_id and version.station_id in (None, s.id)
        ]
    samples = 0
    fired: list[Fired] = []
    work: list[tuple[StationView, dict[str, dict[str, float]], ConnectorView]] = []
    for station in chosen:
        overrides = merge(
            await thresholds.overrides_for(station=station),
            {} if version is None else version.rules,
            rules or {},
        )
        work.extend((station, overrides, c) for c in await stations.list_connectors(station_id=station.id))
    for done, (station, overrides, connector) in enumerate(work):
        watch = ConnectorWatch(connector.kind, overrides=overrides, offer_w=connector.max_power_w)
        limits = await store_rules.list_car_limits(connector_id=connector.id, since=since, until=until)
        found_here: list[tuple[datetime, Finding]] = []
        start = since
        while start < until:
            end = min(start + CHUNK, until)
            for reading in await telemetry.readings(connector_id=connector.id, since=start, until=end):
                while limits and limits[0][0] <= reading.occurred_at:
                    watch.set_car(limits.pop(0)[1])
                samples += 1
                found_here.extend((reading.occurred_at, finding) for finding in watch.observe(as_sample(reading)))
            start = end
        for number, (at, finding) in enumerate(found_here):
            if finding.change == "cleared":
                continue
            cleared = (
                later for later, f in found_here[number + 1 :] if f.code == finding.code and f.change == "cleared"
            )
            fired.append(
                Fired(
                    at=at,
                    until=next(cleared, None),
                    station_code=station.code,
                    charger_code=connector.charger_code,
                    connector=connector.number,
                    code=finding.code,
                    level=finding.level,
                    value=finding.value,
                    limit=finding.limit,
                )
            )
        on_progress(done + 1, len(work))
    return Tried(samples=samples, connectors=len(work), fired=sorted(fired, key=lambda f: f.at))


def as_sample(reading: Reading) -> Sample:
    """Make the rules' sample of a stored one."""
    battery = None
    if (
        reading.soc_pct is not None
        and reading.cell_v_max is not None
        and reading.temp_max_c is not None
        and reading.temp_min_c is not None
    ):
        battery = Battery(
            soc_pct=reading.soc_pct,
            pack_v=reading.voltage_v,
            pack_a=reading.current_a,
            cell_v_max=reading.cell_v_max,
            temp_max_c=reading.temp_max_c,
            temp_min_c=reading.temp_min_c,
            flags=tuple(reading.flags or ()),
        )
    return Sample(
        at=reading.occurred_at,
        boot=reading.boot,
        seq=reading.seq,
        status=reading.status,
        meter_wh=reading.meter_wh,
        power_w=reading.power_w,
        gun_temp_c=reading.gun_temp_c,
        cabinet_temp_c=reading.cabinet_temp_c,
        insulation_ohm_per_v=reading.insulation_ohm_per_v,
        battery=battery,
    )
