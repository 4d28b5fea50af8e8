"""People, companies and logins as tests need them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from backend.accounts import service as accounts
from backend.accounts.service import VehicleView, logins
from backend.core.auth import Tokens
from backend.core.errors import GatewayError
from backend.core.services import Services
from tests.cast import CAST, Person

LONG_AGO = datetime(2024, 1, 1, tzinfo=UTC)
COMPANY_CODES = {"邻里示范": "demo", "远邻充电": "other"}


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """A logged-in person."""

    account_id: UUID
    access_token: str
    refresh_token: str

    @property
    def headers(self) -> dict[str, str]:
        """Return the header of a call as this person."""
        return {"Authorization": f"Bearer {self.access_token}"}


async def add_company(*, name: str = "邻里示范", code: str | None = None, now: datetime = LONG_AGO) -> UUID:
    """Add an operator company (or return the one there is)."""
    return await accounts.add_operator_company(code=code or COMPANY_CODES.get(name, name), name=name, now=now)


async def add_person(person: Person, *, now: datetime = LONG_AGO) -> UUID:
    """Add one of the cast, with role and company where the person has one."""
    account_id = await accounts.ensure_account(phone=person.phone, name=person.name, now=now)
    if person.company is not None:
        company_id = await add_company(name=person.company, now=now)
        await accounts.add_staff(
            account_id=account_id,
            role=person.role,  # type: ignore[arg-type]
            operator_company_id=company_id,
            now=now,
        )
    return account_id


async def add_cast(*, now: datetime = LONG_AGO) -> dict[str, UUID]:
    """Add the whole cast; returns the account ids by key."""
    return {person.key: await add_person(person, now=now) for person in CAST}


async def add_vehicle(
    *, account_id: UUID, plate: str = "京AD12345", battery_wh: int | None = 60_000, now: datetime = LONG_AGO
) -> VehicleView:
    """List a vehicle."""
    return await accounts.add_vehicle(account_id=account_id, plate=plate, battery_wh=battery_wh, now=now)


async def log_in(person: Person, *, services: Services, now: datetime) -> Login:
    """Log one of the cast in, adding the person when needed, as a correct code would."""
    account_id = await add_person(person)
    pair = await logins.open_login(account_id=account_id, method="sms", tokens=services.get(Tokens), now=now)
    return Login(account_id=account_id, access_token=pair.access_token, refresh_token=pair.refresh_token)


class SentSms(msgspec.Struct):
    """A `SmsGateway` that keeps what it was asked to send; `failing` makes the next sends fail so."""

    sent: list[tuple[str, str, dict[str, str | int]]] = msgspec.field(default_factory=list)
    failing: GatewayError | None = None

    async def send(self, *, phone: str, template: str, params: Mapping[str, str | int], locale: str = "zh-CN") -> str:
        """Keep the message, or fail."""
        if self.failing is not None:
            raise self.failing
        self.sent.append((phone, template, dict(params)))
        return f"sms-{len(self.sent)}"

    def code_for(self, phone: str) -> str:
        """Return the code in the newest SMS to this phone."""
        return next(str(params["code"]) for to, _, params in reversed(self.sent) if to == phone)


class KnownWechatCodes(msgspec.Struct):
    """A `WeChatLogin` that knows some codes."""

    openids: dict[str, str]

    async def openid_for(self, code: str) -> str:
        """Return the openid of a known code; others are not good."""
        if code not in self.openids:
            raise GatewayError("WeChat login: errcode 40029", permanent=True, code="40029")
        return self.openids[code]
