from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-21T23:30:00:100002"
VERSION = "1.38.0"
DESCRIPTION = "fallback constraints"

STATEMENTS = (
    """
    ALTER TABLE fallback_plan
        ADD CONSTRAINT fallback_plan_status CHECK
            (status IN ('running', 'offered', 'moved', 'served', 'relocated', 'compensated', 'restored', 'left')),
        ADD CONSTRAINT fallback_plan_step CHECK
            (step IN ('resident_connector', 'public_connector', 'other_station', 'compensation')),
        ADD CONSTRAINT fallback_plan_closed CHECK ((status IN ('running', 'offered')) = (closed_at IS NULL)),
        ADD CONSTRAINT fallback_plan_offer CHECK
            ((status = 'offered') <= (offer_claim_id IS NOT NULL AND due_at IS NOT NULL)),
        ADD CONSTRAINT fallback_plan_station FOREIGN KEY (station_id) REFERENCES station (id)
    """,
    "CREATE UNIQUE INDEX fallback_plan_one_open ON fallback_plan (plate_hash) WHERE closed_at IS NULL",
    "CREATE INDEX fallback_plan_by_account ON fallback_plan (account_id, id)",
    """
    CREATE INDEX fallback_plan_by_reservation ON fallback_plan (reservation_id) WHERE reservation_id IS NOT NULL
    """,
    "CREATE INDEX fallback_plan_by_arrival ON fallback_plan (arrival_id) WHERE arrival_id IS NOT NULL",
    """
    ALTER TABLE fallback_step
        ADD CONSTRAINT fallback_step_plan FOREIGN KEY (plan_id) REFERENCES fallback_plan (id),
        ADD CONSTRAINT fallback_step_outcome CHECK
            (outcome IN ('moved', 'offered', 'accepted', 'declined', 'expired', 'impossible', 'granted'))
    """,
    "CREATE INDEX fallback_step_by_plan ON fallback_step (plan_id, at)",
    "REVOKE UPDATE, DELETE, TRUNCATE ON fallback_step FROM linli_app",
)


class RawTable(Table):
    """Only a way to the engine."""


async def forwards() -> MigrationManager:
    """Add the constraints, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="waiting", description=DESCRIPTION)

    async def add() -> None:
        for statement in STATEMENTS:
            await RawTable.raw(statement)

    manager.add_raw(add)
    return manager
