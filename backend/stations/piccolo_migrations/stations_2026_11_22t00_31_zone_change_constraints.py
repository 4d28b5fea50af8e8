from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-22T00:31:00:000001"
VERSION = "1.38.0"
DESCRIPTION = "dated changes of painted zones: constraints"

STATEMENTS = (
    """
    ALTER TABLE zone_change
        ADD CONSTRAINT zone_change_station FOREIGN KEY (station_id) REFERENCES station (id),
        ADD CONSTRAINT zone_change_bay FOREIGN KEY (bay_id) REFERENCES bay (id),
        ADD CONSTRAINT zone_change_zones
            CHECK (zone_from IN ('resident', 'public') AND zone_to IN ('resident', 'public') AND zone_from <> zone_to),
        ADD CONSTRAINT zone_change_status CHECK (status IN ('proposed', 'approved', 'in_force', 'cancelled')),
        ADD CONSTRAINT zone_change_order CHECK (wanted_at > proposed_at AND effective_at >= wanted_at),
        ADD CONSTRAINT zone_change_second_person CHECK (approved_by <> proposed_by),
        ADD CONSTRAINT zone_change_approved
            CHECK ((approved_by IS NULL) = (approved_at IS NULL)
                   AND (status NOT IN ('approved', 'in_force') OR approved_by IS NOT NULL)),
        ADD CONSTRAINT zone_change_closed CHECK ((status IN ('in_force', 'cancelled')) = (closed_at IS NOT NULL))
    """,
    "CREATE UNIQUE INDEX zone_change_one_open ON zone_change (bay_id) WHERE status IN ('proposed', 'approved')",
    "CREATE INDEX bay_zone_ahead ON bay_zone (valid_from)",
)


class RawTable(Table):
    """Only a way to the engine."""


async def forwards() -> MigrationManager:
    """Add the constraints, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="stations", description=DESCRIPTION)

    async def add() -> None:
        for statement in STATEMENTS:
            await RawTable.raw(statement)

    manager.add_raw(add)
    return manager
