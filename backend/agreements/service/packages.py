"""Packages: drafted and approved by two people of a company, chosen, changed and ended by residents.

What a package does to bills is charging's: it asks here for what an agreement has when.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from asyncpg import Record, UniqueViolationError

from backend.agreements import service as agreements
from backend.agreements import store, store_packages
from backend.agreements.rules import packages as rules
from backend.agreements.rules.packages import Band, Choice, PackageKind, PackageTerms, Stretch
from backend.agreements.service import AgreementOver, AgreementView
from backend.agreements.service.package_news import tell_withdrawn
from backend.core import audit, db
from backend.core.auth import Role, Staff
from backend.core.errors import Conflict, Forbidden, Invalid, NotFound

READERS: tuple[Role, ...] = ("operator", "lead", "inspector")
PackageStatus = Literal["draft", "offered", "withdrawn"]


class PackageView(msgspec.Struct, frozen=True, kw_only=True):
    """A priced plan on top of an agreement; prices in fen a month, energy in Wh a month."""

    id: UUID
    operator_company_id: UUID | None
    code: str
    name_zh: str
    name_en: str
    description_zh: str
    description_en: str
    kind: PackageKind
    status: PackageStatus
    price_fen: int
    included_wh: int
    bands: tuple[str, ...]
    max_periods: int | None
    available_from: datetime | None
    available_until: datetime | None
    drafted_by: UUID | None
    drafted_at: datetime | None
    approved_by: UUID | None
    approved_at: datetime | None

    def terms(self) -> PackageTerms:
        """Return what the rules need."""
        return PackageTerms(
            kind=self.kind,
            price_fen=self.price_fen,
            included_wh=self.included_wh,
            bands=self.bands,
            max_periods=self.max_periods,
            available_from=self.available_from,
            available_until=self.available_until,
        )


class PackageDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator writes down for a package."""

    code: str
    name_zh: str
    name_en: str
    description_zh: str
    description_en: str
    kind: PackageKind
    price_fen: int
    included_wh: int
    bands: tuple[Band, ...] = ()
    max_periods: int | None = None
    available_from: datetime | None = None
    available_until: datetime | None = None


class PackagePeriod(msgspec.Struct, frozen=True, kw_only=True):
    """A package an agreement has in a part of a month; price and included energy are that part's share."""

    agreement_id: UUID
    account_id: UUID
    package: PackageView
    starts_at: datetime
    ends_at: datetime
    price_fen: int
    included_wh: int


class ChosenView(msgspec.Struct, frozen=True, kw_only=True):
    """The package of an agreement now, and the next one where it changes."""

    present: PackageView
    next: PackageView | None
    next_from: datetime | None


class PackageWrong(Invalid):
    """The terms make no package; `field` and `right` say what would."""

    code = "package_invalid"
    title_en = "The package's terms are not valid"
    title_zh = "套餐条款无效"
    detail_en = "{field}: {right}."
    detail_zh = "{field} 应为：{right}。"


class PackageCodeTaken(Conflict):
    """The company has a package of this code."""

    code = "package_code_taken"
    title_en = "There is a package with this code"
    title_zh = "套餐代码已存在"
    detail_en = "Codes are unique in a company, also of withdrawn packages; choose another."
    detail_zh = "代码在公司内唯一（含已下架套餐），请更换。"


class PackageNotDraft(Conflict):
    """What was approved is not edited; what is a draft is not withdrawn."""

    code = "package_state"
    title_en = "The package is in another state"
    title_zh = "套餐状态不符"
    detail_en = "Its status is {status}. Terms of an approved package stay: withdraw it and draft another."
    detail_zh = "当前状态：{status}。已批准的套餐条款不可修改，可下架后另行起草。"


class PackageNeedsSecondPerson(Forbidden):
    """Who wrote a package may not approve it."""

    code = "second_person_needed"
    title_en = "A second person must approve"
    title_zh = "需由另一人审批"
    detail_en = "You wrote this package; another operator of the company has to approve it."
    detail_zh = "您是该套餐的起草人，须由本公司另一名运营人员审批。"


class PackageOver(Conflict):
    """The package's time is over (or it was withdrawn)."""

    code = "package_over"
    title_en = "The package is no longer offered"
    title_zh = "套餐已结束"
    detail_en = "It ended at {available_until}; choose one of GET /v1/packages."
    detail_zh = "该套餐已于 {available_until} 结束，请从 GET /v1/packages 中另选。"


class PackageNotYet(Conflict):
    """The package is offered from a later instant."""

    code = "package_not_yet"
    title_en = "The package is not offered yet"
    title_zh = "套餐尚未开始"
    detail_en = "It can be chosen from {available_from}."
    detail_zh = "该套餐自 {available_from} 起可选。"


class TrialRefused(Conflict):
    """A trial is for new residents, once."""

    code = "trial_refused"
    title_en = "The trial is for new residents, once"
    title_zh = "体验套餐仅限新居民使用一次"
    detail_en = "It can be chosen within 60 days of the first agreement with the company, by who never had a trial."
    detail_zh = "首次与该服务商签约后 60 日内、且未使用过体验套餐的居民可选。"


def _package(row: Record) -> PackageView:
    values = {name: row[name] for name in PackageView.__struct_fields__}
    values["bands"] = msgspec.json.decode(row["bands"], type=tuple[str, ...])
    return PackageView(**values)


# What residents see and choose


async def list_packages(*, at: datetime, operator_company_ids: list[UUID] | None = None) -> list[PackageView]:
    """Return what can be chosen: of every company, and of these ones (None: of all of them)."""
    return [
        _package(row) for row in await store_packages.list_offered(operator_company_ids=operator_company_ids, at=at)
    ]


async def choose_package(*, account_id: UUID, agreement_id: UUID, package_id: UUID, now: datetime) -> AgreementView:
    """Give the own agreement a package: at once from pay as you go, from the next month from another one.

    Raises NotFound, AgreementOver, PackageOver, PackageNotYet, TrialRefused. The newest choice replaces one that has
    not begun. A trial gives way to pay as you go by itself.
    """
    async with db.transaction():
        row = await store.lock_agreement(agreement_id=agreement_id)
        if row is None or row["account_id"] != account_id:
            raise NotFound(kind="agreement")
        if not agreements.view(row).in_force(now):
            raise AgreementOver(status="expired" if row["status"] == "signed" else row["status"])
        wanted = await _offered(package_id, row["operator_company_id"], now)
        chosen = await chosen_of(agreement_id=agreement_id, at=now)
        if wanted.id == chosen.present.id and chosen.next is None:
            return agreements.view(row)
        if wanted.kind == "trial":
            await _check_new(row, now)
        await store_packages.drop_pending(agreement_id=agreement_id, after=now)
        from_at = now
        if wanted.id != chosen.present.id:
            from_at = rules.effective_from(present=chosen.present.kind, now=now)
        await store_packages.add_choice(
            agreement_id=agreement_id, package_id=wanted.id, chosen_by=account_id, from_at=from_at, now=now
        )
        if wanted.max_periods is not None:
            await _end_trial(agreement_id, wanted.max_periods, from_at, now)
        await audit.record(
            actor_id=account_id,
            actor_role="resident",
            action="agreement.package_chosen",
            object_kind="agreement",
            object_id=agreement_id,
            detail={"package_id": str(wanted.id), "from": from_at.isoformat()},
            now=now,
            operator_company_id=row["operator_company_id"],
        )
    return await agreements.get_agreement(account_id=account_id, agreement_id=agreement_id)


async def end_package(*, account_id: UUID, agreement_id: UUID, now: datetime) -> AgreementView:
    """Go back to pay as you go with the next month; raises NotFound, AgreementOver."""
    default = await store_packages.get_default_package_id()
    return await choose_package(account_id=account_id, agreement_id=agreement_id, package_id=default, now=now)


async def carry_on(*, renewed_id: UUID, agreement_id: UUID, from_at: datetime, now: datetime) -> None:
    """Give a renewed agreement the package its predecessor has at its end, while that is offered; a trial never."""
    had = (await chosen_of(agreement_id=renewed_id, at=from_at)).present
    over = had.available_until is not None and had.available_until <= from_at
    if had.kind in ("valley", "bundle") and had.status == "offered" and not over:
        await store_packages.add_choice(
            agreement_id=agreement_id, package_id=had.id, chosen_by=None, from_at=from_at, now=now
        )


async def _end_trial(agreement_id: UUID, max_periods: int, from_at: datetime, now: datetime) -> None:
    """Put pay as you go after a trial; the agreement goes on naming what was chosen."""
    await store_packages.add_choice(
        agreement_id=agreement_id,
        package_id=await store_packages.get_default_package_id(),
        chosen_by=None,
        from_at=rules.trial_ends(starts_at=from_at, max_periods=max_periods),
        now=now,
        shown=False,
    )


async def _offered(package_id: UUID, operator_company_id: UUID, now: datetime) -> PackageView:
    row = await store_packages.find_package(package_id=package_id)
    company = None if row is None else row["operator_company_id"]
    if row is None or row["status"] == "draft" or company not in (None, operator_company_id):
        raise NotFound(kind="package")
    package = _package(row)
    if package.status == "withdrawn" or (package.available_until is not None and package.available_until <= now):
        raise PackageOver(field="package_id", available_until=package.available_until)
    if package.available_from is not None and package.available_from > now:
        raise PackageNotYet(field="package_id", available_from=package.available_from)
    return package


async def _check_new(row: Record, now: datetime) -> None:
    """A trial needs a resident who is new to the company and never had one; raises TrialRefused."""
    person = {"account_id": row["account_id"], "operator_company_id": row["operator_company_id"]}
    since = await store_packages.first_term_start(**person)
    had = await store_packages.find_choice_of_kind(**person, kind="trial")
    if had is not None or since is None or now - since > rules.NEW_RESIDENT_WITHIN:
        raise TrialRefused(field="package_id")


# What charging asks


async def chosen_of(*, agreement_id: UUID, at: datetime) -> ChosenView:
    """Return the package an agreement has at an instant, and the one that follows."""
    choices = await store_packages.list_choices(agreement_ids=[agreement_id])
    default, known = await _known(choices)
    month = rules.month_of(at)
    had = _stretches(choices, default, (at, month[1]), (at, month[1]), known)[0]
    later = sorted((r for r in choices if r["effective_from"] > at), key=lambda r: r["effective_from"])
    following = later[0] if later else None
    return ChosenView(
        present=known[had.package_id],
        next=None if following is None else known[following["package_id"]],
        next_from=None if following is None else following["effective_from"],
    )


async def periods_of(*, account_id: UUID, operator_company_id: UUID, at: datetime) -> list[PackagePeriod]:
    """Return which packages a person's agreements with a company have in the month of `at`, in order, none left out."""
    month = rules.month_of(at)
    rows = await store_packages.list_in_month(
        account_id=account_id, operator_company_id=operator_company_id, from_at=month[0], to_at=month[1]
    )
    return await _periods(rows, month)


async def period_at(*, agreement_id: UUID, at: datetime, lock: bool = False) -> PackagePeriod | None:
    """Return the package period an instant lies in, None outside the agreement's term.

    With `lock` the agreement's row is locked: who counts what is left of the included energy is alone with it.
    """
    find = store.lock_agreement if lock else store.find_agreement
    row = await find(agreement_id=agreement_id)
    if row is None or row["starts_at"] is None:
        return None
    found = await _periods([row], rules.month_of(at))
    return next((period for period in found if period.starts_at <= at < period.ends_at), None)


async def _periods(found: list[Record], month: tuple[datetime, datetime]) -> list[PackagePeriod]:
    choices = await store_packages.list_choices(agreement_ids=[row["id"] for row in found])
    default, known = await _known(choices)
    periods = []
    for agreement in found:
        own = [row for row in choices if row["agreement_id"] == agreement["id"]]
        for stretch in _stretches(own, default, month, (agreement["starts_at"], agreement["ends_at"]), known):
            package = known[stretch.package_id]
            share = rules.share_of(package.terms(), stretch=stretch, month=month)
            periods.append(
                PackagePeriod(
                    agreement_id=agreement["id"],
                    account_id=agreement["account_id"],
                    package=package,
                    starts_at=stretch.starts_at,
                    ends_at=stretch.ends_at,
                    price_fen=share.price_fen,
                    included_wh=share.included_wh,
                )
            )
    return periods


def _stretches(
    choices: list[Record],
    default: UUID,
    month: tuple[datetime, datetime],
    term: tuple[datetime, datetime],
    known: dict[UUID, PackageView],
) -> list[Stretch]:
    return rules.stretches(
        [Choice(row["package_id"], row["effective_from"]) for row in choices],
        default=default,
        month=month,
        term=term,
        ends={view.id: view.available_until for view in known.values() if view.available_until is not None},
    )


async def _known(choices: list[Record]) -> tuple[UUID, dict[UUID, PackageView]]:
    """Return the id of the package everybody starts with, and it and the chosen ones by their ids."""
    rows = await store_packages.list_with_default(package_ids=sorted({row["package_id"] for row in choices}))
    default = next(row["id"] for row in rows if row["is_default"])
    return default, {row["id"]: _package(row) for row in rows}


# What operators do


async def list_company_packages(*, staff: Staff) -> list[PackageView]:
    """Return the own companies' packages in any status, newest first; raises StaffOnly."""
    own = sorted(staff.company_ids(*READERS))
    return [_package(row) for row in await store_packages.list_of_companies(operator_company_ids=own)]


async def get_company_package(*, staff: Staff, package_id: UUID) -> PackageView:
    """Return a package of an own company; raises StaffOnly, NotFound."""
    own = staff.company_ids(*READERS)
    row = await store_packages.find_package(package_id=package_id)
    if row is None or row["operator_company_id"] not in own:
        raise NotFound(kind="package")
    return _package(row)


def _values(draft: PackageDraft, staff: Staff, now: datetime) -> dict[str, object]:
    values: dict[str, object] = msgspec.structs.asdict(draft)
    terms = PackageTerms(**{name: getattr(draft, name) for name in PackageTerms.__dataclass_fields__})
    if (wrong := rules.wrong_terms(terms)) is not None:
        raise PackageWrong(field=wrong[0], right=wrong[1])
    return values | {"drafted_by": staff.account_id, "drafted_at": now}


async def draft_package(*, staff: Staff, operator_company_id: UUID, draft: PackageDraft, now: datetime) -> PackageView:
    """Write down a new package; it is offered once a second person approved it.

    Raises StaffOnly, NotFound (another's company), PackageWrong, PackageCodeTaken.
    """
    if operator_company_id not in staff.company_ids("operator"):
        raise NotFound(kind="operator_company")
    values = _values(draft, staff, now)
    async with db.transaction():
        added = await store_packages.add_draft(operator_company_id=operator_company_id, values=values)
        if added is None:
            raise PackageCodeTaken(field="code")
        await _record(staff, "package.drafted", added, operator_company_id, now)
    return await get_company_package(staff=staff, package_id=added)


async def replace_draft(*, staff: Staff, package_id: UUID, draft: PackageDraft, now: datetime) -> PackageView:
    """Write a draft anew, which makes the actor its author; raises as `draft_package`, and PackageNotDraft."""
    values = _values(draft, staff, now)
    try:
        async with db.transaction():
            row = await _locked(staff, package_id, "draft")
            await store_packages.replace_draft(package_id=package_id, values=values)
            await _record(staff, "package.redrafted", package_id, row["operator_company_id"], now)
    except UniqueViolationError as error:
        raise PackageCodeTaken(field="code") from error
    return await get_company_package(staff=staff, package_id=package_id)


async def delete_draft(*, staff: Staff, package_id: UUID, now: datetime) -> None:
    """Throw a draft away; raises StaffOnly, NotFound, PackageNotDraft."""
    async with db.transaction():
        row = await _locked(staff, package_id, "draft")
        await store_packages.delete_draft(package_id=package_id)
        await _record(staff, "package.draft_deleted", package_id, row["operator_company_id"], now)


async def approve_package(*, staff: Staff, package_id: UUID, now: datetime) -> PackageView:
    """Put a draft on offer as the second person.

    Raises StaffOnly, NotFound, PackageNotDraft, PackageNeedsSecondPerson.
    """
    async with db.transaction():
        row = await _locked(staff, package_id, "draft")
        if row["drafted_by"] == staff.account_id:
            raise PackageNeedsSecondPerson
        await store_packages.offer(package_id=package_id, approved_by=staff.account_id, now=now)
        await _record(staff, "package.approved", package_id, row["operator_company_id"], now)
    return await get_company_package(staff=staff, package_id=package_id)


async def withdraw_package(*, staff: Staff, package_id: UUID, now: datetime) -> PackageView:
    """Take a package off the offer; who has it keeps it to the month's end and is told. Raises as `approve_package`."""
    async with db.transaction():
        row = await _locked(staff, package_id, "offered")
        until = rules.month_of(now)[1]
        await store_packages.withdraw(package_id=package_id, until=until)
        await tell_withdrawn(package=row, account_ids=await _subscribers(package_id, now), until=until, now=now)
        await _record(staff, "package.withdrawn", package_id, row["operator_company_id"], now)
    return await get_company_package(staff=staff, package_id=package_id)


async def _subscribers(package_id: UUID, now: datetime) -> set[UUID]:
    """Return the holders of agreements that have the package now, or were to have it next."""
    found = set()
    for row in await store_packages.list_choosers(package_id=package_id, at=now):
        chosen = await chosen_of(agreement_id=row["id"], at=now)
        if package_id in (chosen.present.id, chosen.next and chosen.next.id):
            found.add(row["account_id"])
    return found


async def _locked(staff: Staff, package_id: UUID, status: PackageStatus) -> Record:
    own = staff.company_ids("operator")
    row = await store_packages.find_package(package_id=package_id, lock=True)
    if row is None or row["operator_company_id"] not in own:
        raise NotFound(kind="package")
    if row["status"] != status:
        raise PackageNotDraft(status=row["status"])
    return row


async def _record(staff: Staff, action: str, package_id: UUID, operator_company_id: UUID, now: datetime) -> None:
    await audit.record(
        actor_id=staff.account_id,
        actor_role=staff.role_at(operator_company_id),
        action=action,
        object_kind="package",
        object_id=package_id,
        detail={},
        now=now,
        operator_company_id=operator_company_id,
    )
