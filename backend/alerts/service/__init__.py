"""Judge samples as ingest stores them: `evaluate_samples`. The other use cases are modules of their own.

The rules of a connector are kept in memory by the process that ingests its station; what must outlive a restart (half a
run of bad samples, a raised level, the meter at the session's start) is in PostgreSQL.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from backend.accounts import service as accounts
from backend.alerts import store, store_rules
from backend.alerts.rules.model import CarLimits
from backend.alerts.rules.quantities import Battery
from backend.alerts.rules.quantities import Sample as RuleSample
from backend.alerts.rules.table import BY_CODE
from backend.alerts.rules.watch import ConnectorWatch, Finding
from backend.alerts.service import thresholds
from backend.alerts.service.raising import Report, clear_alert, raise_alert
from backend.alerts.store import WatchRow
from backend.stations import service as stations
from backend.telemetry.service import Sample

REFRESH_AFTER = timedelta(seconds=10)
"""How old what is known of a car's own limits and of the station's numbers may be while a session runs."""


class Watched:
    """The watch of a connector, whose it is, and when what it is judged by was read."""

    __slots__ = ("connector_id", "max_power_w", "read_at", "station_id", "watch")

    def __init__(
        self, *, connector_id: UUID, station_id: UUID, watch: ConnectorWatch, max_power_w: int, read_at: datetime
    ) -> None:
        self.connector_id = connector_id
        self.max_power_w = max_power_w
        self.station_id = station_id
        self.watch = watch
        self.read_at = read_at


class SampleEvaluator:
    """The watches of the connectors whose samples this process ingests."""

    def __init__(self) -> None:
        self._watched: dict[UUID, Watched] = {}
        self._revision: tuple[int, datetime | None] = (0, None)
        self._revised_at: datetime | None = None

    async def evaluate(self, samples: Sequence[Sample], now: datetime) -> int:
        """Run samples through the rules and raise or clear what they say; returns how many findings there were.

        Samples may come repeated, late and out of order. When storing fails the connectors concerned are forgotten
        and read again from the database, so that a batch that is tried again finds the same.
        """
        await self._take_new_numbers(now)
        stale = now - REFRESH_AFTER
        known = self._watched
        placed = [known.get(sample.connector_id) for sample in samples]
        due = {
            sample.connector_id: sample.station_id
            for sample, watched in zip(samples, placed, strict=True)
            if watched is None or (watched.read_at <= stale and sample.reading.status == "charging")
        }
        if due:
            await self._refresh(due, now)
            placed = [known.get(sample.connector_id) for sample in samples]
        findings: list[tuple[Sample, Finding]] = []
        judged: dict[UUID, Watched] = {}
        for sample, watched in zip(samples, placed, strict=True):
            if watched is None or watched.watch.passes(sample.occurred_at.timestamp(), sample.reading):
                continue
            judged[watched.connector_id] = watched
            findings.extend((sample, finding) for finding in watched.watch.observe(rule_sample(sample)))
        touched = [watched for watched in judged.values() if watched.watch.touched]
        try:
            for sample, finding in findings:
                await act_on(sample, finding, now)
            if touched:
                await store.save_watches([_row(watched) for watched in touched], now)
        except BaseException:
            for watched in judged.values():
                known.pop(watched.connector_id, None)
            raise
        for watched in touched:
            watched.watch.touched = False
        return len(findings)

    async def _refresh(self, due: Mapping[UUID, UUID], now: datetime) -> None:
        """Make the watches of new connectors, and renew what sessions under way are judged by.

        `due` is the station of each connector.
        """
        rows = await store.list_watches(sorted(due))
        new = due.keys() - self._watched.keys()
        for station_id in {due[connector_id] for connector_id in new}:
            station = await stations.get_station(station_id=station_id)
            overrides = await thresholds.overrides_for(station=station)
            there = {c.id: c for c in await stations.list_connectors(station_id=station_id)}
            for connector_id in [c for c in new if due[c] == station_id]:
                connector = there.get(connector_id) or await stations.get_connector(connector_id=connector_id)
                watch = ConnectorWatch(connector.kind, overrides=overrides, offer_w=connector.max_power_w)
                if (row := rows.get(connector_id)) is not None:
                    watch.load(row.counters, newest=(row.boot, row.seq), start_meter=row.start_meter_wh)
                self._watched[connector_id] = Watched(
                    connector_id=connector_id,
                    station_id=station_id,
                    watch=watch,
                    max_power_w=connector.max_power_w,
                    read_at=now,
                )
        for connector_id in due:
            watched, row = self._watched[connector_id], rows.get(connector_id)
            watched.watch.set_car(None if row is None else row.car)
            watched.watch.set_offer(_offered(watched.max_power_w, row, now))
            watched.read_at = now

    async def _take_new_numbers(self, now: datetime) -> None:
        """Give every watch the numbers in force when a version has been approved since the last look."""
        if self._revised_at is not None and now - self._revised_at < REFRESH_AFTER:
            return
        self._revised_at = now
        revision = await store_rules.revision()
        if revision == self._revision:
            return
        overrides: dict[UUID, dict[str, dict[str, float]]] = {}
        for watched in list(self._watched.values()):
            if watched.station_id not in overrides:
                station = await stations.get_station(station_id=watched.station_id)
                overrides[watched.station_id] = await thresholds.overrides_for(station=station)
            watched.watch.set_overrides(overrides[watched.station_id])
        self._revision = revision


def _offered(max_power_w: int, row: WatchRow | None, now: datetime) -> int:
    """What a connector offers: its own power, or less while a limit that its charger took is in force."""
    if row is None or row.limit_w is None or (row.limit_until is not None and row.limit_until <= now):
        return max_power_w
    return min(max_power_w, row.limit_w)


def _row(watched: Watched) -> WatchRow:
    watch = watched.watch
    boot, seq = watch.newest
    return WatchRow(
        connector_id=watched.connector_id,
        boot=boot,
        seq=seq,
        counters=watch.dump(),
        start_meter_wh=watch.trail.start_meter,
        car=None,
    )


def rule_sample(sample: Sample) -> RuleSample:
    """Make the rules' sample of a charger's telemetry message."""
    reading = sample.reading
    bms = reading.bms
    return RuleSample(
        at=sample.occurred_at,
        boot=reading.boot,
        seq=reading.seq,
        status=reading.status,
        meter_wh=reading.meter_wh,
        power_w=reading.power_w,
        gun_temp_c=reading.gun_temp_c,
        cabinet_temp_c=reading.cabinet_temp_c,
        insulation_ohm_per_v=reading.insulation_ohm_per_v,
        battery=None
        if bms is None
        else Battery(
            soc_pct=bms.soc_pct,
            pack_v=bms.pack_v,
            pack_a=bms.pack_a,
            cell_v_max=bms.cell_v_max,
            temp_max_c=bms.temp_max_c,
            temp_min_c=bms.temp_min_c,
            flags=tuple(bms.flags),
        ),
    )


async def act_on(sample: Sample, finding: Finding, now: datetime) -> None:
    """Raise or clear the alert of a finding."""
    if finding.change == "cleared":
        await clear_alert(
            device_id=sample.device_id,
            connector_id=sample.connector_id,
            code=finding.code,
            occurred_at=sample.occurred_at,
            now=now,
        )
        return
    report = Report(
        device_id=sample.device_id,
        station_id=sample.station_id,
        connector_id=sample.connector_id,
        occurred_at=sample.occurred_at,
        received_at=sample.received_at,
        clock_flagged=sample.clock_flagged,
        value=finding.value,
        limit=finding.limit,
    )
    await raise_alert(rule=BY_CODE[finding.code], level=finding.level, report=report, now=now)


_evaluator = SampleEvaluator()


async def evaluate_samples(samples: Sequence[Sample], now: datetime) -> None:
    """Judge samples that ingest has stored, with the watches of this process."""
    await _evaluator.evaluate(samples, now)


async def put_car_limits(*, connector_id: UUID, car: CarLimits | None, at: datetime, now: datetime) -> None:
    """Keep what the car said at the start of a DC session (BCP), or that the gun is free again."""
    await store.save_car_limits(connector_id, car, at, now)


async def export_personal_data(*, account_id: UUID) -> dict[str, object]:
    """Return when the account's cars blocked a bay, as far as plates are still kept (30 days)."""
    plates = [vehicle.plate_hash for vehicle in await accounts.list_vehicles(account_id=account_id)]
    return {"blocked_bays": await store.list_blocked_of(plates)}


async def erase_personal_data(*, account_id: UUID, now: datetime) -> None:
    """Forget the plates of the account's cars in blocked bays; call it before accounts forgets which they are.

    Duty shifts and PINs are staff's, and end with the role (accounts).
    """
    await store.forget_cars([vehicle.plate_hash for vehicle in await accounts.list_vehicles(account_id=account_id)])
