"""What devices say in words: smoke, fire, locks, charger events, silence."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from backend.alerts import store
from backend.alerts.rules.model import Rule, Word
from backend.alerts.rules.table import rule_for_word, rules_cleared_by
from backend.alerts.service.raising import Report, clear_alert, raise_alert
from backend.core import db
from backend.stations import service as stations

LOW_BATTERY_PCT = 15.0


class Heard(Protocol):
    """What every event of a device carries (telemetry.events.DeviceEvent)."""

    @property
    def device_id(self) -> UUID:
        """Whose word it is."""

    @property
    def station_id(self) -> UUID:
        """Where it stands."""

    @property
    def occurred_at(self) -> datetime:
        """When, by its corrected clock."""

    @property
    def received_at(self) -> datetime:
        """When it arrived."""

    @property
    def clock_flagged(self) -> bool:
        """Whether its clock was implausible."""


async def hear(
    *,
    rules: tuple[Rule, ...],
    word: str,
    event: Heard,
    now: datetime,
    connector_id: UUID | None = None,
    bay_id: UUID | None = None,
) -> None:
    """Raise the rule that a device's word means, and clear those it ends. Unknown words mean nothing."""
    rule = rule_for_word(rules, word)
    if rule is not None and isinstance(rule.when, Word):
        if rule.when.level == "info":
            await _log_only(rule, word, event, now)
            return
        device = await stations.get_device(device_id=event.device_id)
        report = Report(
            device_id=event.device_id,
            station_id=event.station_id,
            connector_id=connector_id,
            bay_id=bay_id,
            occurred_at=event.occurred_at,
            received_at=event.received_at,
            clock_flagged=event.clock_flagged,
            word=word,
            area=device.area,
        )
        await raise_alert(rule=rule, level=rule.when.level, report=report, now=now)
    for ended in rules_cleared_by(rules, word):
        await clear_alert(
            device_id=event.device_id,
            connector_id=connector_id,
            code=ended.code,
            occurred_at=event.occurred_at,
            now=now,
        )


async def clear(*, device_id: UUID, code: str, occurred_at: datetime, now: datetime) -> None:
    """Clear a device's alert because it works again."""
    await clear_alert(device_id=device_id, connector_id=None, code=code, occurred_at=occurred_at, now=now)


async def _log_only(rule: Rule, word: str, event: Heard, now: datetime) -> None:
    """A test press is written down and raises nothing."""
    station = await stations.get_station(station_id=event.station_id)
    async with db.transaction():
        await store.add_log(
            at=now,
            station_id=station.id,
            operator_company_id=station.operator_company_id,
            what="noted",
            code=rule.code,
            level="info",
            device_id=event.device_id,
            occurred_at=event.occurred_at,
            clock_flagged=event.clock_flagged,
            detail={"word": word},
        )
