from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-21T23:30:00:100001"
VERSION = "1.38.0"
DESCRIPTION = "moves constraints"

STATEMENTS = (
    """
    ALTER TABLE connector_claim DROP CONSTRAINT connector_claim_plate,
        ADD CONSTRAINT connector_claim_plate
        CHECK (plate_hash IS NOT NULL OR kind IN ('vacate_gap', 'maintenance', 'offer'))
    """,
    """
    ALTER TABLE reservation_move
        ADD CONSTRAINT reservation_move_outcome CHECK (outcome IN ('moved', 'stranded', 'restored', 'relocated')),
        ADD CONSTRAINT reservation_move_target CHECK ((outcome IN ('moved', 'relocated')) = (to_connector_id IS NOT NULL)),
        ADD CONSTRAINT reservation_move_reservation FOREIGN KEY (reservation_id) REFERENCES reservation (id)
    """,
    "CREATE INDEX reservation_move_by_reservation ON reservation_move (reservation_id, at)",
    "REVOKE UPDATE, DELETE, TRUNCATE ON reservation_move FROM linli_app",
    """
    CREATE UNIQUE INDEX connector_outage_one_open ON connector_outage (connector_id) WHERE ended_at IS NULL
    """,
    """
    ALTER TABLE connector_outage
        ADD CONSTRAINT connector_outage_connector FOREIGN KEY (connector_id) REFERENCES connector (id),
        ADD CONSTRAINT connector_outage_order CHECK (ended_at >= began_at)
    """,
    """
    ALTER TABLE suspension_appeal
        ADD CONSTRAINT suspension_appeal_suspension FOREIGN KEY (suspension_id) REFERENCES booking_suspension (id),
        ADD CONSTRAINT suspension_appeal_decided CHECK ((decided_at IS NULL) = (lifted IS NULL))
    """,
    """
    ALTER TABLE reservation
        ADD CONSTRAINT reservation_relocated FOREIGN KEY (relocated_to) REFERENCES reservation (id),
        ADD CONSTRAINT reservation_changes CHECK (changes >= 0)
    """,
    """
    CREATE INDEX reservation_open_by_account ON reservation (account_id) WHERE status IN ('confirmed', 'checked_in')
    """,
)


class RawTable(Table):
    """Only a way to the engine."""


async def forwards() -> MigrationManager:
    """Add the constraints, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="reservations", description=DESCRIPTION)

    async def add() -> None:
        for statement in STATEMENTS:
            await RawTable.raw(statement)

    manager.add_raw(add)
    return manager
