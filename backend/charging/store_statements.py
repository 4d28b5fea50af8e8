"""All SQL of statements and of what packages count."""

from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

import msgspec

from backend.core import db
from backend.core.ids import new_id

StatementStatus: TypeAlias = Literal["unpaid", "paid", "free"]


class StatementPackageView(msgspec.Struct, frozen=True, kw_only=True):
    """A package's part of a statement: how the cap was applied."""

    agreement_id: UUID
    package_id: UUID
    kind: str
    name_zh: str
    name_en: str
    starts_at: datetime
    ends_at: datetime
    orders_count: int
    energy_wh: int
    included_wh: int
    used_wh: int
    service_fee_fen: int
    cap_fen: int
    price_fen: int
    package_fee_fen: int


class StatementView(msgspec.Struct, frozen=True, kw_only=True):
    """A month with one operator company."""

    id: UUID
    account_id: UUID
    operator_company_id: UUID
    starts_at: datetime
    ends_at: datetime
    status: StatementStatus
    orders_count: int
    energy_wh: int
    energy_fee_fen: int
    service_fee_fen: int
    overstay_fee_fen: int
    parking_fee_fen: int
    discount_fen: int
    orders_total_fen: int
    package_fee_fen: int
    made_at: datetime
    paid_at: datetime | None = None
    payment_id: UUID | None = None
    packages: tuple[StatementPackageView, ...] = ()


class StatementCorrectionView(msgspec.Struct, frozen=True, kw_only=True):
    """A package line before and after one of its orders was corrected."""

    id: UUID
    statement_id: UUID
    order_id: UUID
    reason: str
    before: StatementPackageView
    after: StatementPackageView
    difference_fen: int
    corrected_at: datetime


COLUMNS = tuple(name for name in StatementView.__struct_fields__ if name != "packages")
PACKAGE_COLUMNS = StatementPackageView.__struct_fields__


async def used_wh(*, agreement_id: UUID, from_at: datetime, to_at: datetime) -> int:
    """Energy that orders of a package period have been freed of service fee for."""
    found: int = await db.fetchval(
        """
        SELECT coalesce(sum(l.included_wh), 0)::bigint FROM charging_session s
          JOIN charge_order o ON o.session_id = s.id JOIN charge_order_line l ON l.order_id = o.id
         WHERE s.agreement_id = $1 AND s.requested_at >= $2 AND s.requested_at < $3
        """,
        agreement_id,
        from_at,
        to_at,
    )
    return found


async def list_of_period(*, agreement_id: UUID, from_at: datetime, to_at: datetime) -> list[dict[str, Any]]:
    """Return energy, service fee and included energy of the closed orders of a package period."""
    rows = await db.fetch(
        """
        SELECT o.energy_wh, o.service_fee_fen,
               (SELECT coalesce(sum(l.included_wh), 0) FROM charge_order_line l WHERE l.order_id = o.id)::bigint
                   AS included_wh
          FROM charging_session s JOIN charge_order o ON o.session_id = s.id
         WHERE s.agreement_id = $1 AND s.requested_at >= $2 AND s.requested_at < $3
           AND o.status IN ('unpaid', 'paid', 'free')
        """,
        agreement_id,
        from_at,
        to_at,
    )
    return [dict(row) for row in rows]


async def count_unsettled(
    *, account_id: UUID, operator_company_id: UUID, agreement_ids: list[UUID], from_at: datetime, to_at: datetime
) -> int:
    """Count the month's sessions, of this person or under their agreements, whose bill is not final."""
    found: int = await db.fetchval(
        """
        SELECT count(*) FROM charging_session s LEFT JOIN charge_order o ON o.session_id = s.id
         WHERE s.operator_company_id = $2 AND (s.account_id = $1 OR s.agreement_id = ANY($3::uuid[]))
           AND s.requested_at >= $4 AND s.requested_at < $5
           AND s.status <> 'failed' AND (o.id IS NULL OR o.status IN ('open', 'review'))
        """,
        account_id,
        operator_company_id,
        agreement_ids,
        from_at,
        to_at,
    )
    return found


async def list_unstated(*, account_id: UUID, operator_company_id: UUID, before: datetime) -> list[UUID]:
    """Return the person's closed orders of sessions from before an instant that stand in no statement."""
    rows = await db.fetch(
        """
        SELECT o.id FROM charge_order o JOIN charging_session s ON s.id = o.session_id
         WHERE o.account_id = $1 AND o.operator_company_id = $2 AND s.requested_at < $3
           AND o.status IN ('unpaid', 'paid', 'free')
           AND NOT EXISTS (SELECT 1 FROM statement_order x WHERE x.order_id = o.id)
         ORDER BY o.id
        """,
        account_id,
        operator_company_id,
        before,
    )
    return [row["id"] for row in rows]


async def add_statement(statement: StatementView, order_ids: list[UUID]) -> bool:
    """Insert a statement with its packages and orders; False when the month has one."""
    marks = ", ".join(f"${n}" for n in range(1, len(COLUMNS) + 1))
    added = await db.fetchval(
        f"INSERT INTO statement ({', '.join(COLUMNS)}) VALUES ({marks})"  # noqa: S608  constant columns
        " ON CONFLICT (account_id, operator_company_id, starts_at) DO NOTHING RETURNING true",
        *(getattr(statement, name) for name in COLUMNS),
    )
    if not added:
        return False
    marks = ", ".join(f"${n}" for n in range(4, len(PACKAGE_COLUMNS) + 4))
    await db.executemany(
        f"INSERT INTO statement_package (id, statement_id, position, {', '.join(PACKAGE_COLUMNS)})"  # noqa: S608
        f" VALUES ($1, $2, $3, {marks})",
        [
            (new_id(), statement.id, position, *(getattr(package, name) for name in PACKAGE_COLUMNS))
            for position, package in enumerate(statement.packages, 1)
        ],
    )
    await db.executemany(
        "INSERT INTO statement_order (order_id, statement_id) VALUES ($1, $2)",
        [(order_id, statement.id) for order_id in order_ids],
    )
    return True


async def _whole(rows: list[Any]) -> list[StatementView]:
    found = await db.fetch(
        "SELECT * FROM statement_package WHERE statement_id = ANY($1::uuid[]) ORDER BY statement_id, position",
        [row["id"] for row in rows],
    )
    packages: dict[UUID, list[StatementPackageView]] = {}
    for row in found:
        view = StatementPackageView(**{name: row[name] for name in PACKAGE_COLUMNS})
        packages.setdefault(row["statement_id"], []).append(view)
    return [
        StatementView(**{name: row[name] for name in COLUMNS}, packages=tuple(packages.get(row["id"], ())))
        for row in rows
    ]


async def find_statement(statement_id: UUID, *, lock: bool = False) -> StatementView | None:
    """Return a statement with its packages."""
    suffix = " FOR UPDATE" if lock else ""
    rows = await db.fetch(f"SELECT * FROM statement WHERE id = $1{suffix}", statement_id)  # noqa: S608
    return (await _whole(rows))[0] if rows else None


async def list_statements(
    *, account_id: UUID | None, company_ids: frozenset[UUID] | None, before: UUID | None, limit: int
) -> list[StatementView]:
    """Return statements of a person or of companies, newest first."""
    rows = await db.fetch(
        """
        SELECT * FROM statement
         WHERE ($1::uuid IS NULL OR account_id = $1) AND ($2::uuid[] IS NULL OR operator_company_id = ANY($2))
           AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4
        """,
        account_id,
        None if company_ids is None else sorted(company_ids),
        before,
        limit,
    )
    return await _whole(rows)


async def list_order_ids(statement_id: UUID) -> list[UUID]:
    """Return the orders of a statement, oldest first."""
    rows = await db.fetch("SELECT order_id FROM statement_order WHERE statement_id = $1 ORDER BY 1", statement_id)
    return [row["order_id"] for row in rows]


async def find_of_period(agreement_id: UUID, at: datetime) -> tuple[UUID, StatementPackageView] | None:
    """Return statement and line, locked, of the package period that an instant of an agreement lies in."""
    row = await db.fetchrow(
        """
        SELECT p.* FROM statement_package p JOIN statement s ON s.id = p.statement_id
         WHERE p.agreement_id = $1 AND p.starts_at <= $2 AND p.ends_at > $2 FOR UPDATE OF s, p
        """,
        agreement_id,
        at,
    )
    if row is None:
        return None
    return row["statement_id"], StatementPackageView(**{name: row[name] for name in PACKAGE_COLUMNS})


async def find_of_order(order_id: UUID) -> UUID | None:
    """Return the statement an order stands in."""
    found: UUID | None = await db.fetchval("SELECT statement_id FROM statement_order WHERE order_id = $1", order_id)
    return found


async def sum_orders_again(statement_id: UUID) -> None:
    """Write the sums of a statement's orders anew, after one of them was corrected."""
    await db.execute(
        """
        UPDATE statement SET energy_wh = x.energy_wh, energy_fee_fen = x.energy_fee_fen,
               service_fee_fen = x.service_fee_fen, overstay_fee_fen = x.overstay_fee_fen,
               parking_fee_fen = x.parking_fee_fen, discount_fen = x.discount_fen, orders_total_fen = x.total_fen
          FROM (SELECT coalesce(sum(o.energy_wh), 0) AS energy_wh, coalesce(sum(o.energy_fee_fen), 0) AS energy_fee_fen,
                       coalesce(sum(o.service_fee_fen), 0) AS service_fee_fen,
                       coalesce(sum(o.overstay_fee_fen), 0) AS overstay_fee_fen,
                       coalesce(sum(o.parking_fee_fen), 0) AS parking_fee_fen,
                       coalesce(sum(o.discount_fen), 0) AS discount_fen, coalesce(sum(o.total_fen), 0) AS total_fen
                  FROM statement_order l JOIN charge_order o ON o.id = l.order_id WHERE l.statement_id = $1) x
         WHERE statement.id = $1
        """,
        statement_id,
    )


async def save_line(statement_id: UUID, line: StatementPackageView) -> None:
    """Write a package line anew; its statement is locked."""
    await db.execute(
        """
        UPDATE statement_package SET orders_count = $3, energy_wh = $4, used_wh = $5, service_fee_fen = $6,
               cap_fen = $7, package_fee_fen = $8
         WHERE statement_id = $1 AND agreement_id = $2 AND starts_at = $9
        """,
        statement_id,
        line.agreement_id,
        line.orders_count,
        line.energy_wh,
        line.used_wh,
        line.service_fee_fen,
        line.cap_fen,
        line.package_fee_fen,
        line.starts_at,
    )


async def save_fee(statement_id: UUID, *, package_fee_fen: int, status: StatementStatus) -> None:
    """Write what a locked statement asks for."""
    await db.execute(
        "UPDATE statement SET package_fee_fen = $2, status = $3 WHERE id = $1", statement_id, package_fee_fen, status
    )


async def add_correction(view: StatementCorrectionView, order_correction_id: UUID) -> None:
    """Keep what a package line said before and says now."""
    await db.execute(
        "INSERT INTO statement_correction (id, statement_id, order_correction_id, agreement_id, before, after,"
        " difference_fen, corrected_at) VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb, $7, $8)",
        view.id,
        view.statement_id,
        order_correction_id,
        view.after.agreement_id,
        msgspec.json.encode(view.before).decode(),
        msgspec.json.encode(view.after).decode(),
        view.difference_fen,
        view.corrected_at,
    )


async def list_corrections(statement_id: UUID) -> list[StatementCorrectionView]:
    """Return how a statement's package lines were corrected, oldest first."""
    rows = await db.fetch(
        """
        SELECT c.*, o.order_id, o.reason FROM statement_correction c
          JOIN order_correction o ON o.id = c.order_correction_id WHERE c.statement_id = $1 ORDER BY c.id
        """,
        statement_id,
    )
    return [
        StatementCorrectionView(
            id=row["id"],
            statement_id=row["statement_id"],
            order_id=row["order_id"],
            reason=row["reason"],
            before=msgspec.json.decode(row["before"], type=StatementPackageView),
            after=msgspec.json.decode(row["after"], type=StatementPackageView),
            difference_fen=row["difference_fen"],
            corrected_at=row["corrected_at"],
        )
        for row in rows
    ]


async def mark_paid(statement_id: UUID, payment_id: UUID, now: datetime) -> None:
    """Keep that a locked statement was paid."""
    await db.execute(
        "UPDATE statement SET status = 'paid', payment_id = $2, paid_at = $3 WHERE id = $1",
        statement_id,
        payment_id,
        now,
    )


async def find_unpaid(account_id: UUID) -> UUID | None:
    """Return the account's oldest statement that is to be paid."""
    found: UUID | None = await db.fetchval(
        "SELECT id FROM statement WHERE account_id = $1 AND status = 'unpaid' ORDER BY id LIMIT 1", account_id
    )
    return found
