"""A claim made, moved or given back is told: NOTIFY station_changed (the function is the stations feature's)."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-21T21:40:00:000003"
VERSION = "1.38.0"
DESCRIPTION = "station_changed"

STATEMENTS = """
CREATE TRIGGER connector_claim_told AFTER INSERT OR UPDATE OR DELETE ON connector_claim
    FOR EACH ROW EXECUTE FUNCTION tell_station_changed('station_id');
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="reservations", description=DESCRIPTION)

    async def tell():
        await engine_finder().current_transaction.get().connection.execute(STATEMENTS)

    manager.add_raw(tell)
    return manager
