"""The staff of an operator company, kept by its operators: who has which role, at all stations or at one."""

from datetime import datetime
from uuid import UUID

from asyncpg import ForeignKeyViolationError

from backend.accounts import service as accounts
from backend.accounts.service import StaffView
from backend.accounts.store import staff as staff_rows
from backend.core import audit, crypto, db
from backend.core.auth import Role, Staff
from backend.core.errors import Conflict, Invalid, NotFound


class RoleGiven(Conflict):
    """The person has exactly this role already."""

    code = "role_given"
    title_en = "The person has this role already"
    title_zh = "该人员已有此角色"
    detail_en = "Remove the role first if you want to give it anew."
    detail_zh = "如需重新授权，请先移除该角色。"


class LastOperator(Conflict):
    """Without an operator nobody could manage the company's staff any more."""

    code = "last_operator"
    title_en = "This is the company's last operator"
    title_zh = "不能移除最后一名运营人员"
    detail_en = "Give the role to another person first."
    detail_zh = "请先将运营角色授予其他人员。"


class CompanyUnclear(Invalid):
    """The caller is an operator of several companies and did not say for which one."""

    code = "company_unclear"
    title_en = "Say for which company"
    title_zh = "请指定服务商"
    detail_en = "You are an operator of several companies: give operator_company_id."
    detail_zh = "您在多家服务商任职，请填写 operator_company_id。"


class StationForGuards(Invalid):
    """Only guards are limited to one station."""

    code = "station_for_guards"
    title_en = "Only guards are limited to one station"
    title_zh = "仅值守人员可限定单个站点"
    detail_en = "Leads, operators and inspectors work for the whole company: leave station_id out."
    detail_zh = "单元长、运营和检查人员的权限适用于整个服务商，请勿填写 station_id。"


def _own_company(staff: Staff, operator_company_id: UUID | None) -> UUID:
    own = staff.company_ids("operator")
    if operator_company_id is not None:
        if operator_company_id not in own:
            raise NotFound(kind="operator_company")
        return operator_company_id
    if len(own) > 1:
        raise CompanyUnclear(field="operator_company_id")
    return next(iter(own))


async def list_people(*, staff: Staff, after: UUID | None, limit: int) -> list[StaffView]:
    """Return a page of the grants of the caller's companies, after the grant `after`; raises StaffOnly."""
    own = staff.company_ids("operator", "lead", "inspector")
    rows = await staff_rows.list_staff(operator_company_ids=sorted(own), after=after, limit=limit)
    return [accounts.staff_view(row) for row in rows]


async def give_role(
    *,
    staff: Staff,
    phone: str,
    name: str,
    role: Role,
    operator_company_id: UUID | None,
    station_id: UUID | None,
    now: datetime,
) -> StaffView:
    """Give a role to the person with this phone, adding the account when there is none; audited.

    Raises StaffOnly, NotFound (company or station of others), StationForGuards (prices, bills and staff have no
    station, so a limit would be none), PhoneInvalid, RoleGiven. The name is the company's own note of who this is:
    what people call themselves in their profile is not told to who knows their number.
    """
    company_id = _own_company(staff, operator_company_id)
    if station_id is not None and role != "guard":
        raise StationForGuards(field="station_id")
    try:
        async with db.transaction():
            account_id = await accounts.ensure_account(phone=phone, name=name, now=now)
            grant_id = await staff_rows.add_grant(
                account_id=account_id,
                role=role,
                operator_company_id=company_id,
                station_id=station_id,
                granted_by=staff.account_id,
                name_cipher=crypto.encrypt(name),
                now=now,
            )
            if grant_id is None:
                raise RoleGiven
            await audit.record(
                actor_id=staff.account_id,
                actor_role="operator",
                action="staff.role_given",
                object_kind="staff_grant",
                object_id=grant_id,
                detail={
                    "account_id": str(account_id),
                    "role": role,
                    "station_id": str(station_id) if station_id else None,
                },
                now=now,
                operator_company_id=company_id,
            )
    except ForeignKeyViolationError as error:
        raise NotFound(kind="station") from error
    rows = await staff_rows.list_staff(operator_company_ids=[company_id])
    return next(accounts.staff_view(row) for row in rows if row["grant_id"] == grant_id)


async def remove_role(*, staff: Staff, grant_id: UUID, now: datetime) -> None:
    """Take a role away, at once; audited. Raises StaffOnly, NotFound (other companies' too), LastOperator."""
    own = staff.company_ids("operator")
    async with db.transaction():
        grant = await staff_rows.find_grant(grant_id=grant_id)
        if grant is None or grant["operator_company_id"] not in own:
            raise NotFound(kind="staff")
        company_id: UUID = grant["operator_company_id"]
        if (
            grant["role"] == "operator"
            and await staff_rows.count_grants(operator_company_id=company_id, role="operator") < 2
        ):
            raise LastOperator
        await staff_rows.revoke_grant(grant_id=grant_id, now=now)
        await audit.record(
            actor_id=staff.account_id,
            actor_role="operator",
            action="staff.role_removed",
            object_kind="staff_grant",
            object_id=grant_id,
            detail={"account_id": str(grant["account_id"]), "role": grant["role"]},
            now=now,
            operator_company_id=company_id,
        )
