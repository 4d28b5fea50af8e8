"""Foreign keys, checks and indexes of the waiting feature."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-21T23:00:00:000001"
VERSION = "1.38.0"
DESCRIPTION = "constraints, indexes, waits that are never changed"

STATEMENTS = (
    "ALTER TABLE arrival ADD CONSTRAINT arrival_station FOREIGN KEY (station_id) REFERENCES station (id)",
    "ALTER TABLE arrival ADD CONSTRAINT arrival_source CHECK (source IN ('plate', 'app', 'qr', 'staff', 'session'))",
    "ALTER TABLE arrival ADD CONSTRAINT arrival_class CHECK (user_class IN ('booking', 'agreement', 'other'))",
    "ALTER TABLE arrival ADD CONSTRAINT arrival_closed CHECK ((closed_at IS NULL) = (outcome IS NULL))",
    "ALTER TABLE arrival ADD CONSTRAINT arrival_outcome CHECK (outcome IN ('served', 'left', 'passed'))",
    "CREATE UNIQUE INDEX arrival_one_open ON arrival (station_id, plate_hash) WHERE closed_at IS NULL",
    "CREATE UNIQUE INDEX arrival_of_session ON arrival (session_id) WHERE session_id IS NOT NULL",
    "CREATE INDEX arrival_by_plate ON arrival (plate_hash, arrived_at) WHERE plate_hash IS NOT NULL",
    "CREATE INDEX arrival_by_station ON arrival (station_id, arrived_at)",
    "CREATE INDEX arrival_plates ON arrival (arrived_at) WHERE plate_hash IS NOT NULL",
    "ALTER TABLE wait ADD CONSTRAINT wait_arrival FOREIGN KEY (arrival_id) REFERENCES arrival (id)",
    "ALTER TABLE wait ADD CONSTRAINT wait_station FOREIGN KEY (station_id) REFERENCES station (id)",
    """
    ALTER TABLE wait ADD CONSTRAINT wait_is_its_times
    CHECK (wait_s = floor(extract(epoch FROM greatest(usable_at, from_at) - from_at)))
    """,
    "ALTER TABLE wait ADD CONSTRAINT wait_class CHECK (user_class IN ('booking', 'agreement', 'other'))",
    "CREATE INDEX wait_by_station ON wait (station_id, from_at)",
    "CREATE INDEX wait_by_company ON wait (operator_company_id, from_at)",
    "REVOKE UPDATE, DELETE, TRUNCATE ON wait FROM linli_app",
    "ALTER TABLE queue_entry ADD CONSTRAINT queue_entry_station FOREIGN KEY (station_id) REFERENCES station (id)",
    "ALTER TABLE queue_entry ADD CONSTRAINT queue_entry_account FOREIGN KEY (account_id) REFERENCES account (id)",
    """
    ALTER TABLE queue_entry ADD CONSTRAINT queue_entry_status
    CHECK (status IN ('waiting', 'offered', 'accepted', 'served', 'left', 'expired'))
    """,
    "ALTER TABLE queue_entry ADD CONSTRAINT queue_entry_class CHECK (user_class IN ('booking', 'agreement', 'other'))",
    """
    ALTER TABLE queue_entry ADD CONSTRAINT queue_entry_offer CHECK (
        (status IN ('offered', 'accepted')) <= (offer_claim_id IS NOT NULL AND offer_expires_at IS NOT NULL)
    )
    """,
    """
    CREATE UNIQUE INDEX queue_entry_one_open ON queue_entry (plate_hash)
    WHERE status IN ('waiting', 'offered', 'accepted')
    """,
    """
    CREATE INDEX queue_entry_open ON queue_entry (station_id, joined_at)
    WHERE status IN ('waiting', 'offered', 'accepted')
    """,
    "CREATE INDEX queue_entry_by_account ON queue_entry (account_id)",
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
