"""The companies and the cast of the demo; everyone logs in with a phone number and an SMS code."""

from typing import Literal

import msgspec

StaffRole = Literal["guard", "lead", "operator", "inspector"]


class DemoCompany(msgspec.Struct, frozen=True, kw_only=True):
    """An operator company (试点项目服务商)."""

    code: str
    name: str
    hotline: str


class DemoPerson(msgspec.Struct, frozen=True, kw_only=True):
    """A resident, or with `role` a member of staff of `company`."""

    key: str
    name: str
    phone: str
    role: StaffRole | None = None
    company: str | None = None


LINLI = DemoCompany(code="linli-demo", name="邻里示范", hotline="01012345678")
YUANLIN = DemoCompany(code="yuanlin", name="远邻充电", hotline="01087654321")
"""A second company, to show that each sees only its own."""

COMPANIES = (LINLI, YUANLIN)

PEOPLE = (
    DemoPerson(key="alice", name="李小爱", phone="13800000001"),
    DemoPerson(key="bob", name="王博", phone="13800000002"),
    DemoPerson(key="charlie", name="陈查理", phone="13800000003"),
    DemoPerson(key="wang", name="王师傅", phone="13800000011", role="guard", company=LINLI.code),
    DemoPerson(key="zhao", name="赵单元长", phone="13800000012", role="lead", company=LINLI.code),
    DemoPerson(key="li", name="李运营", phone="13800000013", role="operator", company=LINLI.code),
    DemoPerson(key="qian", name="钱运营", phone="13800000014", role="operator", company=LINLI.code),
    DemoPerson(key="sun", name="孙检查", phone="13800000015", role="inspector", company=LINLI.code),
    DemoPerson(key="zhou", name="周运营", phone="13800000021", role="operator", company=YUANLIN.code),
    DemoPerson(key="wu", name="吴运营", phone="13800000022", role="operator", company=YUANLIN.code),
)

PRICE_AUTHORS = {LINLI.code: ("li", "qian"), YUANLIN.code: ("zhou", "wu")}
"""Who writes and who approves each company's tariff: never one person."""
