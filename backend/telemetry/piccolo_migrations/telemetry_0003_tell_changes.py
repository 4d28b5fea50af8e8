"""A connector's status change is told: NOTIFY station_changed (the function is the stations feature's)."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-21T21:40:00:000003"
VERSION = "1.38.0"
DESCRIPTION = "station_changed"

STATEMENTS = """
CREATE TRIGGER connector_state_new_told AFTER INSERT ON connector_state
    FOR EACH ROW EXECUTE FUNCTION tell_station_changed('station_id');
CREATE TRIGGER connector_state_told AFTER UPDATE ON connector_state
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION tell_station_changed('station_id');
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="telemetry", description=DESCRIPTION)

    async def tell():
        await engine_finder().current_transaction.get().connection.execute(STATEMENTS)

    manager.add_raw(tell)
    return manager
