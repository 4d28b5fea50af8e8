"""A staff role that is limited to a station names a station of its own company (accounts lies below stations)."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-21T21:26:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "staff_grant names stations of its company"

STATEMENTS = (
    "ALTER TABLE station ADD CONSTRAINT station_of_company UNIQUE (id, operator_company_id)",
    """
    ALTER TABLE staff_grant ADD CONSTRAINT staff_grant_station
    FOREIGN KEY (station_id, operator_company_id) REFERENCES station (id, operator_company_id)
    """,
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
