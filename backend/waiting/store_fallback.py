"""SQL of fallback plans and of the arrivals behind the wait figures."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from backend.core import db
from backend.core.ids import new_id
from backend.waiting.rules.fallback import Outcome, PlanStatus, Step
from backend.waiting.rules.waits import UserClass


class PlanRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `fallback_plan`."""

    id: UUID
    station_id: UUID
    operator_company_id: UUID
    account_id: UUID | None
    plate_hash: bytes | None
    reservation_id: UUID | None
    arrival_id: UUID | None
    cause: str
    status: PlanStatus
    step: Step
    offer_station_id: UUID | None = None
    offer_connector_id: UUID | None = None
    offer_claim_id: UUID | None = None
    due_at: datetime | None = None
    opened_at: datetime
    closed_at: datetime | None = None


class StepRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a plan's trace."""

    step: Step
    outcome: Outcome
    station_id: UUID | None
    connector_id: UUID | None
    due_at: datetime | None
    at: datetime


_PLAN = ", ".join(PlanRow.__struct_fields__)


async def add_plan(row: PlanRow) -> bool:
    """Open a plan; False when the car has one."""
    values = [getattr(row, name) for name in PlanRow.__struct_fields__]
    places = ", ".join(f"${n + 1}" for n in range(len(values)))
    added = await db.fetchval(
        f"INSERT INTO fallback_plan ({_PLAN}) VALUES ({places})"  # noqa: S608
        " ON CONFLICT (plate_hash) WHERE closed_at IS NULL DO NOTHING RETURNING true",
        *values,
    )
    return bool(added)


async def find_plan(plan_id: UUID, *, lock: bool = False) -> PlanRow | None:
    """Return a plan."""
    row = await db.fetchrow(
        f"SELECT {_PLAN} FROM fallback_plan WHERE id = $1{' FOR UPDATE' if lock else ''}",  # noqa: S608
        plan_id,
    )
    return None if row is None else PlanRow(**dict(row))


async def find_open_plan(plate_hash: bytes) -> PlanRow | None:
    """Return the car's open plan, its row locked."""
    row = await db.fetchrow(
        f"SELECT {_PLAN} FROM fallback_plan WHERE plate_hash = $1 AND closed_at IS NULL FOR UPDATE",  # noqa: S608
        plate_hash,
    )
    return None if row is None else PlanRow(**dict(row))


async def find_plan_of_reservation(reservation_id: UUID) -> PlanRow | None:
    """Return the open plan of a booking, its row locked."""
    row = await db.fetchrow(
        f"SELECT {_PLAN} FROM fallback_plan WHERE reservation_id = $1 AND closed_at IS NULL FOR UPDATE",  # noqa: S608
        reservation_id,
    )
    return None if row is None else PlanRow(**dict(row))


async def list_plans(account_id: UUID, limit: int) -> list[PlanRow]:
    """Return an account's plans, newest first."""
    rows = await db.fetch(
        f"SELECT {_PLAN} FROM fallback_plan WHERE account_id = $1 ORDER BY id DESC LIMIT $2",  # noqa: S608
        account_id,
        limit,
    )
    return [PlanRow(**dict(row)) for row in rows]


async def save_plan(row: PlanRow) -> None:
    """Write back what may change of a plan; the caller holds its row's lock."""
    await db.execute(
        "UPDATE fallback_plan SET status = $2, step = $3, offer_station_id = $4, offer_connector_id = $5,"
        " offer_claim_id = $6, due_at = $7, closed_at = $8 WHERE id = $1",
        row.id,
        row.status,
        row.step,
        row.offer_station_id,
        row.offer_connector_id,
        row.offer_claim_id,
        row.due_at,
        row.closed_at,
    )


async def add_step(plan_id: UUID, row: StepRow) -> None:
    """Write a line of a plan's trace."""
    await db.execute(
        "INSERT INTO fallback_step (id, plan_id, step, outcome, station_id, connector_id, due_at, at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        new_id(),
        plan_id,
        row.step,
        row.outcome,
        row.station_id,
        row.connector_id,
        row.due_at,
        row.at,
    )


async def list_steps(plan_ids: Sequence[UUID]) -> dict[UUID, list[StepRow]]:
    """Return the traces of plans, oldest line first."""
    rows = await db.fetch(
        "SELECT plan_id, step, outcome, station_id, connector_id, due_at, at FROM fallback_step"
        " WHERE plan_id = ANY($1) ORDER BY at, id",
        list(plan_ids),
    )
    found: dict[UUID, list[StepRow]] = {plan_id: [] for plan_id in plan_ids}
    for row in rows:
        values = dict(row)
        found[values.pop("plan_id")].append(StepRow(**values))
    return found


async def list_personal(account_id: UUID) -> list[dict[str, str]]:
    """Return what was done for a person whose wait was predicted to be too long, oldest first."""
    rows = await db.fetch(
        "SELECT station_id, cause, status, step FROM fallback_plan WHERE account_id = $1 ORDER BY id", account_id
    )
    return [{name: str(row[name]) for name in ("station_id", "cause", "status", "step")} for row in rows]


async def forget_account(account_id: UUID, now: datetime) -> None:
    """Take a person out of the plans; what was tried stays."""
    await db.execute(
        "UPDATE fallback_plan SET account_id = NULL, plate_hash = NULL, closed_at = coalesce(closed_at, $2),"
        " status = CASE WHEN closed_at IS NULL THEN 'left' ELSE status END WHERE account_id = $1",
        account_id,
        now,
    )


async def forget_plates(before: datetime) -> None:
    """Remove the plates of closed plans from before then (PIPL, 30 days)."""
    await db.execute(
        "UPDATE fallback_plan SET plate_hash = NULL WHERE closed_at < $1 AND plate_hash IS NOT NULL", before
    )


class ArrivalFigure(msgspec.Struct, frozen=True, kw_only=True):
    """One arrival behind a wait figure, without anybody's name or plate."""

    arrival_id: UUID
    station_id: UUID
    connector_id: UUID
    user_class: UserClass
    source: str
    arrived_at: datetime
    from_at: datetime
    usable_at: datetime
    wait_s: int
    predicted_s: int | None
    reservation_id: UUID | None
    session_id: UUID | None


async def list_arrivals_behind(
    company_ids: Sequence[UUID],
    station_id: UUID,
    since: datetime,
    until: datetime,
    *,
    user_class: UserClass | None,
    after: UUID | None,
    limit: int,
) -> list[ArrivalFigure]:
    """Return the arrivals whose waits began at the station in the period, by id."""
    rows = await db.fetch(
        "SELECT w.arrival_id, w.station_id, w.connector_id, w.user_class, a.source, a.arrived_at, w.from_at,"
        " w.usable_at, w.wait_s, w.predicted_s, a.reservation_id, a.session_id"
        " FROM wait w JOIN arrival a ON a.id = w.arrival_id"
        " WHERE w.operator_company_id = ANY($1) AND w.station_id = $2 AND w.from_at >= $3 AND w.from_at < $4"
        " AND ($5::text IS NULL OR w.user_class = $5) AND ($6::uuid IS NULL OR w.arrival_id > $6)"
        " ORDER BY w.arrival_id LIMIT $7",
        list(company_ids),
        station_id,
        since,
        until,
        user_class,
        after,
        limit,
    )
    return [ArrivalFigure(**dict(row)) for row in rows]


class StoredWait(msgspec.Struct, frozen=True, kw_only=True):
    """A stored wait with whose arrival it was, for the recount; the plate is forgotten after 30 days."""

    arrival_id: UUID
    user_class: UserClass
    plate_hash: bytes | None
    reservation_id: UUID | None
    connector_id: UUID
    arrived_at: datetime
    usable_at: datetime
    wait_s: int


async def list_stored_waits(station_id: UUID, since: datetime, until: datetime) -> list[StoredWait]:
    """Return the waits that began at the station in the period, by arrival."""
    rows = await db.fetch(
        "SELECT w.arrival_id, w.user_class, a.plate_hash, a.reservation_id, w.connector_id, a.arrived_at, w.usable_at,"
        " w.wait_s FROM wait w JOIN arrival a ON a.id = w.arrival_id"
        " WHERE w.station_id = $1 AND w.from_at >= $2 AND w.from_at < $3 ORDER BY a.arrived_at, w.arrival_id",
        station_id,
        since,
        until,
    )
    return [StoredWait(**dict(row)) for row in rows]


async def residents_worst_s(station_id: UUID, since: datetime) -> int:
    """Return the longest wait of residents (bookings, agreements) at a station since then, seconds."""
    return int(
        await db.fetchval(
            "SELECT coalesce(max(wait_s), 0) FROM wait"
            " WHERE station_id = $1 AND from_at >= $2 AND user_class <> 'other'",
            station_id,
            since,
        )
    )
