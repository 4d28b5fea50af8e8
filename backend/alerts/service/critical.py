"""Judge critical samples of the safety lane: two in a row raise the alert, even if ingest lags or is down."""

from datetime import datetime, timedelta

from backend.alerts import store
from backend.alerts.rules.quantities import Trail
from backend.alerts.rules.table import BY_CODE
from backend.alerts.rules.watch import compile_rules
from backend.alerts.service import rule_sample, thresholds
from backend.alerts.service.raising import Report, raise_alert
from backend.core import db
from backend.stations import service as stations
from backend.telemetry.events import CriticalSample
from backend.telemetry.service import Sample

IN_A_ROW_WITHIN = timedelta(seconds=60)
"""Two critical samples within this, by arrival, count as consecutive: the lane carries nothing but critical ones."""


async def judge_critical(*, event: CriticalSample, now: datetime) -> list[str]:
    """Raise what a critical sample and the one before it say alike; returns the codes raised.

    Only rules that need no history are judged here; slopes and jumps are ingest's.
    """
    connector = await stations.get_connector(connector_id=event.connector_id)
    station = await stations.get_station(station_id=connector.station_id)
    known = (await store.list_watches([connector.id])).get(connector.id)
    car = None if known is None else known.car
    sample = rule_sample(
        Sample(
            connector_id=connector.id,
            device_id=event.device_id,
            device_code=event.device_code,
            station_id=event.station_id,
            occurred_at=event.occurred_at,
            received_at=event.received_at,
            clock_flagged=event.clock_flagged,
            reading=event.sample,
        )
    )
    overrides = await thresholds.overrides_for(station=station)
    raised: list[str] = []
    for rule in compile_rules(kind=connector.kind, car=car, overrides=overrides):
        value = None if rule.from_trail else rule.quantity(sample, Trail(), car)
        if value is None or rule.level_of(value * rule.sign, sample, Trail(), car) != "critical":
            continue
        async with db.transaction():
            before = await store.note_critical(connector.id, rule.code, sample.boot, sample.seq, event.received_at)
            if rule.persistence > 1:
                if before is None or before[:2] == (sample.boot, sample.seq):
                    continue
                if abs(event.received_at - before[2]) > IN_A_ROW_WITHIN:
                    continue
            report = Report(
                device_id=event.device_id,
                station_id=event.station_id,
                connector_id=connector.id,
                occurred_at=event.occurred_at,
                received_at=event.received_at,
                clock_flagged=event.clock_flagged,
                value=value,
                limit=None if rule.critical is None else rule.critical * rule.sign,
            )
            await raise_alert(rule=BY_CODE[rule.code], level="critical", report=report, now=now)
            raised.append(rule.code)
    return raised
