"""What a session would cost under a tariff version and under the one before it, for each user class."""

from datetime import date, datetime, time, timedelta
from uuid import UUID

import msgspec

from backend.charging.rules.billing import Bill, MeterPoint, bill_session
from backend.charging.rules.parking import parking_fee_fen
from backend.charging.service.metering import price_periods
from backend.tariffs import service as tariffs
from backend.tariffs.rules.bands import BEIJING, UserClass
from backend.tariffs.rules.versions import TariffVersionView, snapshot_of

CLASSES: tuple[UserClass, UserClass] = ("agreement", "market")


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One user class before and after; parking in fen beside the bills."""

    user_class: UserClass
    before: Bill | None
    after: Bill
    parking_before: int
    parking_after: int

    @property
    def difference_fen(self) -> int | None:
        """After less before."""
        if self.before is None:
            return None
        return self.after.total_fen + self.parking_after - self.before.total_fen - self.parking_before


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """The session and what it costs."""

    against_id: UUID | None
    starts_at: datetime
    ends_at: datetime
    cases: list[Case]


async def preview(
    *,
    version_id: UUID,
    company_ids: frozenset[UUID],
    energy_wh: int,
    power_w: int,
    at: time,
    day: date | None = None,
) -> Preview:
    """Price a session at constant power from `at` on the version's first day (or `day`); raises NotFound.

    The bill's own arithmetic: bands, rounding, the cap of agreement orders.
    """
    version = await tariffs.get_version(version_id=version_id, company_ids=company_ids)
    before = await tariffs.find_before(version)
    on = day or version.effective_from.astimezone(BEIJING).date()
    start = datetime.combine(on, at, BEIJING)
    end = start + timedelta(seconds=max(1, -(-energy_wh * 3600 // power_w)))
    cases = []
    for user_class in CLASSES:
        bill, parking = _price(version, user_class, start, end, energy_wh)
        was = None if before is None else _price(before, user_class, start, end, energy_wh)
        cases.append(
            Case(
                user_class=user_class,
                before=None if was is None else was[0],
                after=bill,
                parking_before=0 if was is None else was[1],
                parking_after=parking,
            )
        )
    return Preview(against_id=None if before is None else before.id, starts_at=start, ends_at=end, cases=cases)


def _price(
    version: TariffVersionView, user_class: UserClass, start: datetime, end: datetime, energy_wh: int
) -> tuple[Bill, int]:
    tariff = snapshot_of(version, user_class)
    points = [MeterPoint(start, 0), MeterPoint(end, energy_wh)]
    bill = bill_session(points, price_periods(tariff, start=start, end=end), capped=user_class == "agreement")
    parking = parking_fee_fen(
        from_at=start,
        until=end,
        free_min=tariff.parking.free_min,
        fen_per_hour=tariff.parking.fen_per_hour,
        day_cap_fen=tariff.parking.day_cap_fen,
    )
    return bill, parking
