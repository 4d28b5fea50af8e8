"""Numbers of the rules per company, station and chemistry: proposed, approved by a second person, in force at once."""

from datetime import datetime
from uuid import UUID

import msgspec

from backend.alerts import store_rules
from backend.alerts.rules.changes import merge, problems
from backend.alerts.rules.model import CHEMISTRIES, Measure, Rule, Threshold, Word, adjust
from backend.alerts.rules.table import ALL_RULES
from backend.alerts.rules.words import reason_of
from backend.alerts.store_rules import RuleVersionView
from backend.core import audit, db
from backend.core.auth import Staff
from backend.core.errors import Conflict, Forbidden, Invalid, NotFound
from backend.core.ids import new_id
from backend.stations import service as stations
from backend.stations.rules.topology import StationView

__all__ = ["RuleVersionView"]


class RuleNumbersInvalid(Invalid):
    """Some of the proposed numbers cannot be taken."""

    code = "rule_numbers_invalid"
    title_en = "These numbers cannot be taken"
    title_zh = "阈值无效"
    detail_en = "{first}"
    detail_zh = "{first}"


class RulesNeedSecondPerson(Forbidden):
    """Whoever proposed a version cannot approve it."""

    code = "second_person_needed"
    title_en = "A second person has to approve"
    title_zh = "须由另一人审批"
    detail_en = "You proposed this version; another operator of the company approves it."
    detail_zh = "该版本由您提出，须由本公司另一名运营人员审批。"


class RuleVersionDecided(Conflict):
    """The version was decided before."""

    code = "rule_version_decided"
    title_en = "The version is {status}"
    title_zh = "该版本已处理"
    detail_en = "It is {status}; propose a new version instead."
    detail_zh = "该版本状态为 {status}，请另提新版本。"


class RuleInForce(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the safety table as it holds at a station; numbers are null where the rule goes by a device's word."""

    code: str
    text: str
    source: str
    level: str | None
    quantity: str | None
    bad: str | None
    words: list[str]
    warning: dict[str, float] | None
    critical: dict[str, float] | None
    car_limit_first: bool
    clear_by: float | None
    persistence: int | None
    kinds: list[str]
    actions: dict[str, list[str]]
    off: bool
    changed: bool


async def overrides_for(*, station: StationView) -> dict[str, dict[str, float]]:
    """The numbers that hold at a station beyond our defaults: the company's, then the station's own."""
    versions = await store_rules.list_in_force(operator_company_id=station.operator_company_id, station_id=station.id)
    return merge(station.settings.alert_rules, *(version.rules for version in versions))


async def in_force(*, staff: Staff, station_id: UUID) -> list[RuleInForce]:
    """The whole safety table as it holds at a station; raises NotFound for another company's."""
    station = await stations.get_station(station_id=station_id)
    if not staff.may(
        "operator", "lead", "inspector", operator_company_id=station.operator_company_id, station_id=station_id
    ):
        raise NotFound(kind="station")
    overrides = await overrides_for(station=station)
    return [_row(rule, overrides.get(rule.code, {})) for rule in ALL_RULES]


def _row(rule: Rule, numbers: dict[str, float]) -> RuleInForce:
    held = adjust(rule, numbers)
    when = rule.when if held is None else held.when
    measure = when if isinstance(when, Measure) else None
    word = when if isinstance(when, Word) else None
    return RuleInForce(
        code=rule.code,
        text=reason_of(rule.code),
        source=rule.source,
        level=None if word is None else word.level,
        quantity=None if measure is None else measure.quantity,
        bad=None if measure is None else measure.bad,
        words=[] if word is None else sorted(word.words),
        warning=None if measure is None else _by_chemistry(measure.warning),
        critical=None if measure is None else _by_chemistry(measure.critical),
        car_limit_first=measure is not None
        and any(t is not None and t.car_limit is not None for t in (measure.warning, measure.critical)),
        clear_by=None if measure is None else measure.clear_by,
        persistence=None if measure is None else measure.persistence,
        kinds=[] if measure is None else sorted(measure.kinds),
        actions={level: list(actions) for level, actions in rule.actions.items()},
        off=held is None,
        changed=bool(numbers),
    )


def _by_chemistry(threshold: Threshold | None) -> dict[str, float] | None:
    if threshold is None:
        return None
    return {kind: threshold.by_chemistry.get(kind, threshold.value) for kind in CHEMISTRIES}


async def list_versions(*, staff: Staff, before: UUID | None, limit: int) -> list[RuleVersionView]:
    """Every version of the caller's companies, newest first."""
    companies = staff.company_ids("operator", "lead", "inspector")
    return await store_rules.list_versions(company_ids=companies, before=before, limit=limit)


async def propose(
    *,
    staff: Staff,
    operator_company_id: UUID,
    station_id: UUID | None,
    rules: dict[str, dict[str, float]],
    reason: str,
    now: datetime,
) -> RuleVersionView:
    """Propose numbers that replace those in force as a whole; raises RuleNumbersInvalid, NotFound."""
    if not staff.may("operator", operator_company_id=operator_company_id):
        raise NotFound(kind="operator company")
    if station_id is not None:
        station = await stations.get_station(station_id=station_id)
        if station.operator_company_id != operator_company_id:
            raise NotFound(kind="station")
    found = problems(rules)
    if found:
        first = f"{found[0][0]}: {found[0][1]}"
        raise RuleNumbersInvalid(first=first, errors=[{"field": field, "right": right} for field, right in found])
    async with db.transaction():
        version = await store_rules.add_version(
            RuleVersionView(
                id=new_id(),
                operator_company_id=operator_company_id,
                station_id=station_id,
                number=0,
                rules=rules,
                reason=reason,
                status="proposed",
                proposed_by=staff.account_id,
                proposed_at=now,
            )
        )
        await _audit(version, "rules.proposed", staff, now)
    return version


async def approve(*, staff: Staff, version_id: UUID, now: datetime) -> RuleVersionView:
    """Put a version in force, as a second person; bridges take it at once, ingest within ten seconds.

    Raises NotFound, RulesNeedSecondPerson, RuleVersionDecided.
    """
    async with db.transaction():
        version = await _deciding(staff, version_id)
        if version.proposed_by == staff.account_id:
            raise RulesNeedSecondPerson
        await store_rules.replace_in_force(version)
        await store_rules.decide_version(version_id, "approved", staff.account_id, now)
        await store_rules.tell_bridges()
        await _audit(version, "rules.approved", staff, now)
    return msgspec.structs.replace(version, status="approved", decided_by=staff.account_id, decided_at=now)


async def reject(*, staff: Staff, version_id: UUID, now: datetime) -> RuleVersionView:
    """Turn a proposal down (its author may withdraw it so); raises NotFound, RuleVersionDecided."""
    async with db.transaction():
        version = await _deciding(staff, version_id)
        await store_rules.decide_version(version_id, "rejected", staff.account_id, now)
        await _audit(version, "rules.rejected", staff, now)
    return msgspec.structs.replace(version, status="rejected", decided_by=staff.account_id, decided_at=now)


async def get_version(*, version_id: UUID) -> RuleVersionView:
    """Return a version; raises NotFound."""
    version = await store_rules.find_version(version_id)
    if version is None:
        raise NotFound(kind="rule version")
    return version


async def _deciding(staff: Staff, version_id: UUID) -> RuleVersionView:
    version = await store_rules.find_version(version_id, lock=True)
    if version is None or not staff.may("operator", operator_company_id=version.operator_company_id):
        raise NotFound(kind="rule version")
    if version.status != "proposed":
        raise RuleVersionDecided(status=version.status)
    return version


async def _audit(version: RuleVersionView, action: str, staff: Staff, now: datetime) -> None:
    await audit.record(
        actor_id=staff.account_id,
        actor_role="operator",
        action=action,
        object_kind="alert_rule_version",
        object_id=version.id,
        detail={
            "station_id": None if version.station_id is None else str(version.station_id),
            "number": version.number,
            "rules": version.rules,
            "reason": version.reason,
        },
        now=now,
        operator_company_id=version.operator_company_id,
    )
