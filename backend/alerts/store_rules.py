"""All SQL of rule versions, of what cars said, and of what is read to try rules on history."""

from collections.abc import Collection
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.alerts.rules.model import CarLimits
from backend.core import db

VersionStatus: TypeAlias = Literal["proposed", "approved", "rejected", "replaced"]


class RuleVersionView(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of the rules for a company (`station_id` null) or one station, and who proposed and decided them."""

    id: UUID
    operator_company_id: UUID
    station_id: UUID | None
    number: int
    rules: dict[str, dict[str, float]]
    reason: str
    status: VersionStatus
    proposed_by: UUID
    proposed_at: datetime
    decided_by: UUID | None = None
    decided_at: datetime | None = None


def _version(row: Record) -> RuleVersionView:
    values = {name: row[name] for name in RuleVersionView.__struct_fields__}
    return msgspec.convert({**values, "rules": msgspec.json.decode(row["rules"])}, RuleVersionView)


async def add_version(version: RuleVersionView) -> RuleVersionView:
    """Add a proposal under the next number of its company and station."""
    await db.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('rules:' || $1::text, 0))", str(version.operator_company_id)
    )
    row = await db.fetchrow(
        """
        INSERT INTO alert_rule_version
            (id, operator_company_id, station_id, number, rules, reason, status, proposed_by, proposed_at)
        SELECT $1, $2, $3, coalesce(max(number), 0) + 1, $4::jsonb, $5, 'proposed', $6, $7
          FROM alert_rule_version WHERE operator_company_id = $2 AND station_id IS NOT DISTINCT FROM $3
        RETURNING *
        """,
        version.id,
        version.operator_company_id,
        version.station_id,
        msgspec.json.encode(version.rules).decode(),
        version.reason,
        version.proposed_by,
        version.proposed_at,
    )
    if row is None:
        raise RuntimeError("an insert that returns its row")
    return _version(row)


async def find_version(version_id: UUID, *, lock: bool = False) -> RuleVersionView | None:
    suffix = " FOR UPDATE" if lock else ""
    row = await db.fetchrow(f"SELECT * FROM alert_rule_version WHERE id = $1{suffix}", version_id)  # noqa: S608
    return None if row is None else _version(row)


async def decide_version(version_id: UUID, status: VersionStatus, by: UUID, now: datetime) -> None:
    await db.execute(
        "UPDATE alert_rule_version SET status = $2, decided_by = $3, decided_at = $4 WHERE id = $1",
        version_id,
        status,
        by,
        now,
    )


async def replace_in_force(version: RuleVersionView) -> None:
    """End the version of the same company and station that is in force."""
    await db.execute(
        "UPDATE alert_rule_version SET status = 'replaced' WHERE operator_company_id = $1"
        " AND station_id IS NOT DISTINCT FROM $2 AND status = 'approved'",
        version.operator_company_id,
        version.station_id,
    )


async def tell_bridges() -> None:
    """Have the bridges read the numbers again when this transaction is committed."""
    await db.execute("SELECT pg_notify('device_access', 'rules')")


async def list_versions(
    *, company_ids: Collection[UUID], before: UUID | None = None, limit: int
) -> list[RuleVersionView]:
    rows = await db.fetch(
        "SELECT * FROM alert_rule_version WHERE operator_company_id = ANY($1) AND ($2::uuid IS NULL OR id < $2)"
        " ORDER BY id DESC LIMIT $3",
        list(company_ids),
        before,
        limit,
    )
    return [_version(row) for row in rows]


async def list_in_force(*, operator_company_id: UUID, station_id: UUID | None) -> list[RuleVersionView]:
    """The versions in force, the company's before the station's."""
    rows = await db.fetch(
        "SELECT * FROM alert_rule_version WHERE status = 'approved' AND operator_company_id = $1"
        " AND (station_id IS NULL OR station_id = $2) ORDER BY station_id NULLS FIRST",
        operator_company_id,
        station_id,
    )
    return [_version(row) for row in rows]


async def revision() -> tuple[int, datetime | None]:
    """What changes whenever a version comes into force."""
    row = await db.fetchrow(
        "SELECT count(*) AS n, max(decided_at) AS newest FROM alert_rule_version"
        " WHERE status IN ('approved', 'replaced')"
    )
    return (0, None) if row is None else (row["n"], row["newest"])


async def list_car_limits(
    *, connector_id: UUID, since: datetime, until: datetime
) -> list[tuple[datetime, CarLimits | None]]:
    """What cars said at a connector, oldest first, beginning with the last word before `since`."""
    rows = await db.fetch(
        """
        (SELECT at, car_limits FROM car_limits_said WHERE connector_id = $1 AND at < $2 ORDER BY at DESC LIMIT 1)
        UNION ALL
        (SELECT at, car_limits FROM car_limits_said WHERE connector_id = $1 AND at >= $2 AND at < $3)
        ORDER BY at
        """,
        connector_id,
        since,
        until,
    )
    return [
        (row["at"], None if row["car_limits"] is None else msgspec.json.decode(row["car_limits"], type=CarLimits))
        for row in rows
    ]
