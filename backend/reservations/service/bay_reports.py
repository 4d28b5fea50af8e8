"""Residents report a bay that is blocked: what is told is weighed first, and false reports end the right to report.

A report is believed where it can be true. The car of the bay's booking or session may stand there; where the bay's own
devices see no car, a photo is asked for first. What follows from a believed report (the owner is warned, then a guard
goes) is the work of `alerts`, which hears of it by an event.
"""

from datetime import datetime, timedelta
from uuid import UUID

from backend.agreements.rules import files
from backend.bays import service as bays
from backend.core import audit, crypto, db, jobs
from backend.core.auth import Role, Staff
from backend.core.errors import Conflict, Forbidden, Invalid, NotFound, TooMany
from backend.core.paging import read_visible
from backend.reservations.events import BayReportClosed, BayReported
from backend.reservations.service import claims
from backend.reservations.service.bookings import on_the_clock
from backend.reservations.store import bay_reports as store
from backend.reservations.store.bay_reports import BayReportView, Verdict
from backend.stations import service as stations

READERS: tuple[Role, ...] = ("guard", "lead", "operator", "inspector")
HANDLERS: tuple[Role, ...] = ("guard", "lead", "operator")
A_DAY = 5
FALSE_LIMIT, FALSE_WINDOW, SILENCED_FOR = 3, timedelta(days=30), timedelta(days=30)
"""Three reports found false within 30 days end reporting for 30 days; defaults of ours, domain.md names none."""
PHOTO_KEPT = timedelta(days=30)


class TooManyReports(TooMany):
    """The account reported as many bays within a day as it may."""

    code = "too_many_reports"
    title_en = "Too many reports today"
    title_zh = "今日报告次数过多"
    detail_en = "You may report {limit} bays within 24 hours. In an emergency call the hotline."
    detail_zh = "24小时内最多报告{limit}次，紧急情况请拨打服务热线。"


class ReportingSuspended(Forbidden):
    """Reports of the account were found false too often."""

    code = "reporting_suspended"
    title_en = "You cannot report for a while"
    title_zh = "报告功能已暂停"
    detail_en = "Several of your reports were found false. You can report again from {until}."
    detail_zh = "因多次不实报告，报告功能暂停至{until}。"


class CarMayStand(Conflict):
    """The car in the bay holds it by a booking or a session."""

    code = "car_may_stand"
    title_en = "That car may stand there"
    title_zh = "该车辆有权停放"
    detail_en = "The car in bay {bay} holds it by a booking or is charging there."
    detail_zh = "{bay}号车位的车辆已预约或正在充电。"


class ReportOver(Conflict):
    """The report is closed."""

    code = "report_over"
    title_en = "The report is closed"
    title_zh = "该报告已处理"


class PhotoRefused(Invalid):
    """The file is no picture, cut off, or too large."""

    code = "photo_refused"
    title_en = "The photo cannot be taken"
    title_zh = "照片无法接收"
    detail_en = "Send a whole JPEG, PNG, WebP or HEIC picture of at most 10 MB."
    detail_zh = "请上传完整的 JPEG、PNG、WebP 或 HEIC 图片，不超过 10 MB。"


async def report(
    *, account_id: UUID, bay_id: UUID, note: str | None, now: datetime, reservation_id: UUID | None = None
) -> BayReportView:
    """Take a report; the same account's open one of the bay is answered as it is.

    Raises NotFound, ReportingSuspended, TooManyReports, CarMayStand.
    """
    bay = await stations.get_bay(bay_id=bay_id)
    station = await stations.get_station(station_id=bay.station_id)
    async with db.transaction():
        await store.lock_reporter(account_id)
        present = await store.find_open_of(account_id, bay_id)
        if present is not None:
            return present
        await _check_limits(account_id, now)
        seen = await bays.get_occupancy(bay_id=bay_id)
        if seen.plate_hash is not None and seen.plate_hash in await claims.expected_plate_hashes(bay_id=bay_id, at=now):
            raise CarMayStand(bay=bay.code)
        doubted = seen.state == "free"
        report_id = await store.add_report(
            account_id=account_id,
            station_id=station.id,
            operator_company_id=station.operator_company_id,
            bay_id=bay_id,
            reservation_id=reservation_id,
            note_cipher=crypto.encrypt(note) if note else None,
            doubted=doubted,
            now=now,
        )
        made = None if report_id is None else await store.find_report(report_id)
        assert made is not None, "the account's reports take turns"
        if not doubted:
            await _tell(made, now)
        return made


async def _check_limits(account_id: UUID, now: datetime) -> None:
    false = await store.list_false(account_id, now - FALSE_WINDOW - SILENCED_FOR)
    last = false[-FALSE_LIMIT:]
    if len(last) == FALSE_LIMIT and last[-1] - last[0] < FALSE_WINDOW and now < last[-1] + SILENCED_FOR:
        raise ReportingSuspended(until=on_the_clock(last[-1] + SILENCED_FOR))
    if await store.count_made(account_id, now - timedelta(days=1)) >= A_DAY:
        raise TooManyReports(limit=A_DAY, retry_after_s=3600)


async def _tell(made: BayReportView, now: datetime) -> None:
    told = BayReported(report_id=made.id, station_id=made.station_id, bay_id=made.bay_id, at=now)
    await jobs.emit(told, now=now)


async def add_photo(*, account_id: UUID, report_id: UUID, content: bytes, now: datetime) -> BayReportView:
    """Keep the picture of an own open report, encrypted; a report that was doubted is believed from now on.

    Raises NotFound, ReportOver, PhotoRefused.
    """
    media_type = files.detect(content) if len(content) <= files.MAX_BYTES else None
    if media_type is None or media_type == "application/pdf":
        raise PhotoRefused(field="file")
    async with db.transaction():
        found = await store.find_report(report_id, lock=True)
        if found is None or found.account_id != account_id:
            raise NotFound(kind="bay_report")
        if found.closed_at is not None:
            raise ReportOver
        await store.put_photo(report_id, media_type, crypto.encrypt(content), now)
        if found.doubted:
            await store.believe(report_id)
            await _tell(found, now)
        after = await store.find_report(report_id)
        assert after is not None
        return after


async def list_own(*, account_id: UUID, limit: int = 50) -> list[BayReportView]:
    """Return the account's reports, the newest first."""
    return await store.list_of_account(account_id, limit)


async def find_report(*, report_id: UUID) -> BayReportView | None:
    """Return any report, for the features above."""
    return await store.find_report(report_id)


async def list_for_staff(*, staff: Staff, open_only: bool, before: UUID | None, limit: int) -> list[BayReportView]:
    """Return the reports of the caller's companies and stations, the newest first."""
    companies = sorted(staff.company_ids(*READERS))
    return await read_visible(
        lambda below: store.list_of_companies(companies, open_only=open_only, before=below, limit=limit),
        visible=lambda r: staff.may(*READERS, operator_company_id=r.operator_company_id, station_id=r.station_id),
        before=before,
        limit=limit,
    )


async def _for_staff(staff: Staff, report_id: UUID, roles: tuple[Role, ...], *, lock: bool = False) -> BayReportView:
    found = await store.find_report(report_id, lock=lock)
    if found is None or not staff.may(
        *roles, operator_company_id=found.operator_company_id, station_id=found.station_id
    ):
        raise NotFound(kind="bay_report")
    return found


async def read_photo(*, staff: Staff, report_id: UUID, now: datetime) -> tuple[str, bytes]:
    """Return the media type and content of a report's picture, on record; raises NotFound."""
    async with db.transaction():
        found = await _for_staff(staff, report_id, READERS)
        photo = await store.find_photo(report_id)
        if photo is None:
            raise NotFound(kind="photo")
        await _record(staff, found, "photo_read", {}, now)
    return photo[0], crypto.decrypt_bytes(photo[1])


async def decide(*, staff: Staff, report_id: UUID, verdict: Verdict, reason: str, now: datetime) -> BayReportView:
    """Say what was found on site; it holds for every open report of the bay. Raises NotFound, ReportOver."""
    async with db.transaction():
        found = await _for_staff(staff, report_id, HANDLERS, lock=True)
        if found.closed_at is not None:
            raise ReportOver
        await close_all(bay_id=found.bay_id, verdict=verdict, decided_by=staff.account_id, reason=reason, now=now)
        await _record(staff, found, "decided", {"verdict": verdict, "reason": reason}, now)
        after = await store.find_report(report_id)
        assert after is not None
        return after


async def close_all(
    *, bay_id: UUID, verdict: Verdict, decided_by: UUID | None, reason: str | None, now: datetime
) -> int:
    """Close every open report of a bay; who reported is told what was found. Returns how many were open."""
    async with db.transaction():
        open_ones = await store.list_open_of_bay(bay_id)
        for one in open_ones:
            await store.close(one.id, verdict=verdict, decided_by=decided_by, reason=reason, now=now)
            closed = BayReportClosed(
                report_id=one.id,
                station_id=one.station_id,
                bay_id=bay_id,
                account_id=one.account_id,
                verdict=verdict,
                at=now,
            )
            await jobs.emit(closed, now=now)
    return len(open_ones)


async def forget_photos(*, now: datetime) -> None:
    """Pictures are kept 30 days (domain.md "Personal data")."""
    await store.forget_photos(now - PHOTO_KEPT)


def note_of(view: BayReportView) -> str | None:
    """Return the resident's own words."""
    return None if view.note_cipher is None else crypto.decrypt(view.note_cipher)


async def _record(staff: Staff, found: BayReportView, what: str, detail: dict[str, str], now: datetime) -> None:
    await audit.record(
        actor_id=staff.account_id,
        actor_role=staff.role_at(found.operator_company_id),
        action=f"bay_report.{what}",
        object_kind="bay_report",
        object_id=found.id,
        detail=detail,
        now=now,
        operator_company_id=found.operator_company_id,
    )
