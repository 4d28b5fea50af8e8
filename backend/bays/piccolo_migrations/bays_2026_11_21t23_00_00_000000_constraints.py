"""Foreign keys, checks, indexes and grants of the bays feature."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-21T23:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "constraints, indexes, append-only lock log"

STATEMENTS = (
    "ALTER TABLE bay_state ADD CONSTRAINT bay_state_bay FOREIGN KEY (bay_id) REFERENCES bay (id)",
    "ALTER TABLE bay_state ADD CONSTRAINT bay_state_state CHECK (state IN ('occupied', 'free', 'unknown'))",
    """
    ALTER TABLE bay_state ADD CONSTRAINT bay_state_position
    CHECK (lock_position IN ('up', 'down', 'moving', 'error', 'unknown'))
    """,
    "ALTER TABLE bay_state ADD CONSTRAINT bay_state_target CHECK (lock_target IN ('up', 'down'))",
    # What the rules promise, held by the database too: no raise is under way without a sensor that is sure.
    """
    ALTER TABLE bay_state ADD CONSTRAINT bay_state_never_under_a_car CHECK (
        lock_target IS DISTINCT FROM 'up'
        OR (lock_online AND lock_car IS NOT DISTINCT FROM false AND camera_car IS DISTINCT FROM true)
    )
    """,
    "CREATE INDEX bay_state_by_command ON bay_state (lock_command_id) WHERE lock_command_id IS NOT NULL",
    "CREATE INDEX bay_state_change_by_bay ON bay_state_change (bay_id, occurred_at)",
    "CREATE INDEX bay_state_change_by_station ON bay_state_change (station_id, occurred_at)",
    "CREATE INDEX bay_state_change_plates ON bay_state_change (recorded_at) WHERE plate_hash IS NOT NULL OR image_ref IS NOT NULL",
    "CREATE INDEX lock_log_by_bay ON lock_log (bay_id, recorded_at)",
    "CREATE INDEX lock_log_by_station ON lock_log (station_id, recorded_at)",
    "REVOKE UPDATE, DELETE, TRUNCATE ON lock_log FROM linli_app",
)


class RawTable(Table):
    """Only a way to the engine."""


async def forwards() -> MigrationManager:
    """Add the constraints, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="bays", description=DESCRIPTION)

    async def add() -> None:
        for statement in STATEMENTS:
            await RawTable.raw(statement)

    manager.add_raw(add)
    return manager
