"""A published tariff changes what many stations show: NOTIFY station_changed '*' (all of them)."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-21T21:40:00:000003"
VERSION = "1.38.0"
DESCRIPTION = "station_changed"

STATEMENTS = """
CREATE FUNCTION tell_all_stations_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('station_changed', '*');
    RETURN NULL;
END $$;
CREATE TRIGGER tariff_version_told AFTER UPDATE ON tariff_version
    FOR EACH ROW WHEN (NEW.status = 'published') EXECUTE FUNCTION tell_all_stations_changed();
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="tariffs", description=DESCRIPTION)

    async def tell():
        await engine_finder().current_transaction.get().connection.execute(STATEMENTS)

    manager.add_raw(tell)
    return manager
