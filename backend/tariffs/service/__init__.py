"""What a kilowatt-hour costs, when and for whom; versions are published ahead and never edited."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from backend.core import audit, db
from backend.core.errors import Conflict, Forbidden, Invalid, NotFound
from backend.core.ids import new_id
from backend.stations import service as stations
from backend.stations.rules.topology import StationView
from backend.tariffs import store
from backend.tariffs.rules.bands import BEIJING, ParkingTerms, PriceSnapshot, UserClass
from backend.tariffs.rules.faults import Fault, find_faults
from backend.tariffs.rules.versions import (
    Price,
    Refusal,
    Span,
    TariffVersionView,
    decide_publication,
    snapshot_of,
)


class NoTariff(Conflict):
    """No published version is in force at the station."""

    code = "no_tariff"
    title_en = "The station has no price now"
    title_zh = "该站当前没有生效的价格"
    detail_en = "No tariff version is in force here at that time; nothing can be sold without a price."
    detail_zh = "该时间没有生效的价格版本，无法提供充电。"


class TariffInvalid(Invalid):
    """A version's schedule or prices cannot be; `faults` says where, and what would be right."""

    code = "tariff_invalid"
    title_en = "The tariff is not valid"
    title_zh = "价格方案无效"
    detail_en = "{first}. See `faults` for all of them, each with its field."
    detail_zh = "{first_zh}。全部问题及字段见 faults。"


class TariffHole(TariffInvalid):
    """The bands leave a stretch of some day without a price."""

    code = "tariff_hole"
    title_en = "The bands leave a gap"
    title_zh = "时段有空缺"


class TariffOverlap(TariffInvalid):
    """Two bands hold at once."""

    code = "tariff_overlap"
    title_en = "Two bands overlap"
    title_zh = "时段重叠"


class AgreementPriceAboveCap(TariffInvalid):
    """An agreement service price above 0.5 yuan/kWh, which no version may hold (P 8)."""

    code = "agreement_price_above_cap"
    title_en = "The agreement service price is above 0.5 yuan/kWh"
    title_zh = "协议服务费超过 0.5 元/度"


OWN_PROBLEM: dict[str, type[TariffInvalid]] = {
    "band_gap": TariffHole,
    "band_overlap": TariffOverlap,
    "agreement_price_above_cap": AgreementPriceAboveCap,
}


TARIFF_FAULTS: tuple[type[TariffInvalid], ...] = (TariffInvalid, TariffHole, TariffOverlap, AgreementPriceAboveCap)


def refuse_faults(faults: Sequence[Fault]) -> None:
    """Raise what the first fault is, with all of them; nothing without any."""
    if faults:
        first = faults[0]
        raise OWN_PROBLEM.get(first.code, TariffInvalid)(
            field=first.field,
            first=first.problem,
            first_zh=first.problem_zh,
            faults=[msgspec.structs.asdict(fault) for fault in faults],
        )


class TariffNotDraft(Conflict):
    """The version has left the state this needs."""

    code = "tariff_state"
    title_en = "The tariff version is {status}"
    title_zh = "该价格版本状态不允许此操作"
    detail_en = "It is {status}; this needs {needed}. A published version is never edited: publish a new one."
    detail_zh = "当前状态 {status}，需要 {needed}。已发布的版本不可修改，请发布新版本。"


class TariffNeedsSecondPerson(Forbidden):
    """Who wrote a version may not approve it."""

    code = "second_person_needed"
    title_en = "A second person must approve"
    title_zh = "需由另一人审批"
    detail_en = "You wrote this version; another operator of the company has to approve it."
    detail_zh = "您是该版本的编写人，须由本公司另一名运营人员审批。"


class TariffPeriodRefused(Conflict):
    """The period would overlap another version, leave a gap or lie in the past."""

    code = "tariff_period"
    title_en = "The period does not fit the published versions"
    title_zh = "生效时间与已发布版本冲突"
    detail_en = "{field}: {reason} at {at}. Versions follow each other without overlap or gap, and start in the future."
    detail_zh = "{field}：{reason}，时间 {at}。版本须首尾相接，不得重叠或间断，且不得追溯生效。"


class StationPrices(msgspec.Struct, frozen=True, kw_only=True):
    """What both user classes pay at a station, and until when that holds (None: no end known)."""

    market: PriceSnapshot
    agreement: PriceSnapshot
    valid_until: datetime | None


class PricesAhead(msgspec.Struct, frozen=True):
    """The prices one user class pays at a station over a period, the station's own versions first."""

    versions: tuple[tuple[TariffVersionView, PriceSnapshot], ...]

    def at(self, instant: datetime) -> PriceSnapshot | None:
        """Return what `price_for` answers for an instant of the period, or None where there is no tariff."""
        for version, snapshot in self.versions:
            if version.effective_from <= instant and (version.effective_to is None or instant < version.effective_to):
                return snapshot
        return None


async def prices_ahead(
    *, station_id: UUID, user_class: UserClass, starts_at: datetime, ends_at: datetime
) -> PricesAhead:
    """Return the prices of `[starts_at, ends_at)`, so that each instant of it can be asked without another read."""
    (place,) = await stations.list_stations_of(station_ids=[station_id])
    group_id = (await store.groups_of([place.id])).get(place.id)
    versions = await store.list_in_period(starts_at, ends_at, _scopes(place, group_id))
    holding = [v for v in versions if v.station_id is not None or v.supply_class == place.supply_class]
    holding.sort(key=_nearness)
    return PricesAhead(tuple((version, snapshot_of(version, user_class)) for version in holding))


def _scopes(place: StationView, group_id: UUID | None) -> list[UUID]:
    return [scope for scope in (place.id, group_id, place.operator_company_id) if scope is not None]


def _nearness(version: TariffVersionView) -> int:
    """A station's own version goes before its group's, and that before its company's."""
    return 0 if version.station_id is not None else 1 if version.station_group_id is not None else 2


async def price_for(*, station_id: UUID, user_class: UserClass, at: datetime) -> PriceSnapshot:
    """Return what `user_class` pays at the station under the version in force at `at`; raises NoTariff.

    A version of the station itself goes before one of its group, and that before one of its company; of a group and a
    company those count that are for the station's supply class.
    """
    prices = (await current_prices(station_ids=[station_id], at=at)).get(station_id)
    if prices is None:
        raise NoTariff(station_id=str(station_id))
    return prices.agreement if user_class == "agreement" else prices.market


async def current_prices(*, station_ids: Collection[UUID], at: datetime) -> dict[UUID, StationPrices]:
    """Return the prices in force at `at` for those of the stations that have any."""
    places = await stations.list_stations_of(station_ids=station_ids)
    groups = await store.groups_of([s.id for s in places])
    scope_ids = {scope for s in places for scope in _scopes(s, groups.get(s.id))}
    versions = await store.list_in_force(at, list(scope_ids))
    own = {v.station_id: v for v in versions if v.station_id is not None}
    shared = {(v.scope_id, v.supply_class): v for v in versions if v.station_id is None}
    ends = await store.next_start_after(list(scope_ids), at)
    snapshots: dict[UUID, StationPrices] = {}
    found: dict[UUID, StationPrices] = {}
    for place in places:
        version = own.get(place.id)
        for scope_id in _scopes(place, groups.get(place.id))[1:]:
            version = version or shared.get((scope_id, place.supply_class))
        if version is None:
            continue
        if version.id not in snapshots:
            snapshots[version.id] = StationPrices(
                market=snapshot_of(version, "market"), agreement=snapshot_of(version, "agreement"), valid_until=ends
            )
        found[place.id] = snapshots[version.id]
    return found


async def get_version(*, version_id: UUID, company_ids: frozenset[UUID]) -> TariffVersionView:
    """Return a version of one of these companies; raises NotFound, also for another company's."""
    version = await store.find_version(version_id)
    if version is None or version.operator_company_id not in company_ids:
        raise NotFound(kind="tariff")
    return version


async def find_before(version: TariffVersionView) -> TariffVersionView | None:
    """Return the published version of the same scope and supply class that holds until `version` begins."""
    return await store.find_before(version)


async def list_versions(*, company_ids: frozenset[UUID], status: str | None = None) -> list[TariffVersionView]:
    """Return the companies' versions, latest first."""
    return await store.list_versions(sorted(company_ids), status)


async def _check(
    operator_company_id: UUID,
    station_id: UUID | None,
    station_group_id: UUID | None,
    effective_from: datetime,
    effective_to: datetime | None,
    spans: Sequence[Span],
    prices: Sequence[Price],
    parking: ParkingTerms,
) -> None:
    if station_id is not None:
        place = await stations.get_station(station_id=station_id)
        if place.operator_company_id != operator_company_id:
            raise NotFound(kind="station")
    if station_group_id is not None and await store.company_of_group(station_group_id) != operator_company_id:
        raise NotFound(kind="station_group")
    faults = find_faults(spans, prices, parking)
    if station_id is not None and station_group_id is not None:
        faults.append(
            Fault(
                field="station_group_id",
                code="two_scopes",
                problem="a version is for a station or for a group, not for both",
                problem_zh="价格版本只能属于单个站点或一个站点组",
            )
        )
    if effective_to is not None and effective_to <= effective_from:
        faults.append(
            Fault(
                field="effective_to",
                code="end_before_start",
                problem="must be later than effective_from",
                problem_zh="失效时间须晚于生效时间",
            )
        )
    refuse_faults(faults)


async def draft_version(
    *,
    operator_company_id: UUID,
    station_id: UUID | None,
    supply_class: str,
    name: str,
    effective_from: datetime,
    effective_to: datetime | None,
    spans: Sequence[Span],
    prices: Sequence[Price],
    parking: ParkingTerms,
    actor_id: UUID,
    now: datetime,
    replaces: UUID | None = None,
    station_group_id: UUID | None = None,
) -> TariffVersionView:
    """Write a draft, or write the draft `replaces` anew; raises TariffInvalid, TariffNotDraft.

    Rewriting a draft makes the actor its author, so that approval still needs a second person.
    """
    await _check(
        operator_company_id, station_id, station_group_id, effective_from, effective_to, spans, prices, parking
    )
    version_id = replaces or new_id()
    fields = {
        "id": version_id,
        "operator_company_id": operator_company_id,
        "station_id": station_id,
        "station_group_id": station_group_id,
        "supply_class": supply_class,
        "name": name,
        "effective_from": effective_from,
        "effective_to": effective_to,
        "spans": spans,
        "parking": parking,
        "created_by": actor_id,
        "created_at": now,
    }
    async with db.transaction():
        if replaces is None:
            await store.add_version(fields)
        else:
            present = await store.find_version(replaces, lock=True)
            if present is None or present.operator_company_id != operator_company_id:
                raise NotFound(kind="tariff")
            if present.status != "draft":
                raise TariffNotDraft(status=present.status, needed="draft")
            await store.replace_draft(version_id, fields)
        await store.add_prices(version_id, prices)
        await record("tariff.drafted", version_id, operator_company_id, actor_id, now)
    return await get_version(version_id=version_id, company_ids=frozenset({operator_company_id}))


async def approve_version(
    *, version_id: UUID, company_ids: frozenset[UUID], actor_id: UUID, now: datetime
) -> TariffVersionView:
    """Approve a draft as the second person; raises TariffNeedsSecondPerson, TariffNotDraft."""
    async with db.transaction():
        version = await lock_version(version_id, company_ids, "draft")
        if version.created_by == actor_id:
            raise TariffNeedsSecondPerson()
        await store.approve(version_id, actor_id, now)
        await record("tariff.approved", version_id, version.operator_company_id, actor_id, now)
    return await get_version(version_id=version_id, company_ids=company_ids)


async def publish_version(
    *, version_id: UUID, company_ids: frozenset[UUID], actor_id: UUID, now: datetime
) -> TariffVersionView:
    """Publish an approved version; raises TariffPeriodRefused, TariffNotDraft. The open end before it is closed at
    its start.
    """
    async with db.transaction():
        version = await lock_version(version_id, company_ids, "approved")
        rows = await store.list_published(version.scope_id, version.supply_class)
        decision = decide_publication(
            effective_from=version.effective_from,
            effective_to=version.effective_to,
            published=[(row["id"], row["effective_from"], row["effective_to"]) for row in rows],
            now=now,
        )
        if isinstance(decision, Refusal):
            raise TariffPeriodRefused(
                field="effective_to" if decision.at == version.effective_to else "effective_from",
                reason=decision.reason,
                at=decision.at.astimezone(BEIJING).isoformat(),
            )
        if decision.closes is not None:
            await store.close_version(decision.closes, version.effective_from)
        await store.publish(version_id, actor_id, now)
        await record("tariff.published", version_id, version.operator_company_id, actor_id, now)
    return await get_version(version_id=version_id, company_ids=company_ids)


async def lock_version(version_id: UUID, company_ids: frozenset[UUID], *needed: str) -> TariffVersionView:
    """Return a version of these companies in one of these states, locked; raises NotFound, TariffNotDraft."""
    version = await store.find_version(version_id, lock=True)
    if version is None or version.operator_company_id not in company_ids:
        raise NotFound(kind="tariff")
    if version.status not in needed:
        raise TariffNotDraft(status=version.status, needed=" or ".join(needed))
    return version


async def record(
    action: str,
    version_id: UUID,
    company_id: UUID,
    actor_id: UUID | None,
    now: datetime,
    detail: dict[str, object] | None = None,
) -> None:
    """Put a step of a version into the audit log."""
    await audit.record(
        actor_id=actor_id,
        actor_role="operator",
        action=action,
        object_kind="tariff_version",
        object_id=version_id,
        detail=detail or {},
        now=now,
        operator_company_id=company_id,
    )
