from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-22T00:31:00:000002"
VERSION = "1.38.0"
DESCRIPTION = "reports of blocked bays: constraints"

STATEMENTS = (
    """
    ALTER TABLE bay_report
        ADD CONSTRAINT bay_report_bay FOREIGN KEY (bay_id) REFERENCES bay (id),
        ADD CONSTRAINT bay_report_reservation FOREIGN KEY (reservation_id) REFERENCES reservation (id),
        ADD CONSTRAINT bay_report_verdict CHECK (verdict IN ('confirmed', 'false', 'gone')),
        ADD CONSTRAINT bay_report_closed CHECK ((verdict IS NULL) = (closed_at IS NULL)),
        ADD CONSTRAINT bay_report_decided CHECK (decided_by IS NULL OR decided_reason IS NOT NULL)
    """,
    "CREATE UNIQUE INDEX bay_report_one_open ON bay_report (bay_id, account_id) WHERE closed_at IS NULL",
    "CREATE INDEX bay_report_by_account ON bay_report (account_id, reported_at)",
    "CREATE INDEX bay_report_open_at_station ON bay_report (station_id) WHERE closed_at IS NULL",
    """
    ALTER TABLE bay_report_photo
        ADD CONSTRAINT bay_report_photo_report FOREIGN KEY (report_id) REFERENCES bay_report (id)
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
