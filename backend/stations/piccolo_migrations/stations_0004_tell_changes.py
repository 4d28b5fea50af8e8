"""Whoever keeps a picture of stations hears of each committed change: NOTIFY station_changed with the station's id.

Stations and homes name a company and an account that exist.
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-21T21:40:00:000004"
VERSION = "1.38.0"
DESCRIPTION = "station_changed; owners"

STATEMENTS = """
ALTER TABLE station ADD CONSTRAINT station_company FOREIGN KEY (operator_company_id) REFERENCES operator_company (id);
ALTER TABLE home ADD CONSTRAINT home_account FOREIGN KEY (account_id) REFERENCES account (id);

-- A trigger function that tells of a row's station; its argument is the column with the station's id. PostgreSQL sends
-- one notification for each distinct payload of a transaction, at its commit.
CREATE FUNCTION tell_station_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('station_changed', to_jsonb(COALESCE(NEW, OLD)) ->> TG_ARGV[0]);
    RETURN NULL;
END $$;

CREATE FUNCTION tell_bay_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('station_changed', (SELECT station_id::text FROM bay WHERE id = (COALESCE(NEW, OLD)).bay_id));
    RETURN NULL;
END $$;

CREATE TRIGGER station_told AFTER INSERT OR UPDATE ON station
    FOR EACH ROW EXECUTE FUNCTION tell_station_changed('id');
CREATE TRIGGER charger_told AFTER UPDATE ON charger
    FOR EACH ROW EXECUTE FUNCTION tell_station_changed('station_id');
CREATE TRIGGER connector_told AFTER INSERT OR UPDATE ON connector
    FOR EACH ROW EXECUTE FUNCTION tell_station_changed('station_id');
CREATE TRIGGER safety_hold_told AFTER INSERT OR UPDATE ON safety_hold
    FOR EACH ROW EXECUTE FUNCTION tell_station_changed('station_id');
CREATE TRIGGER bay_zone_told AFTER INSERT OR UPDATE OR DELETE ON bay_zone
    FOR EACH ROW EXECUTE FUNCTION tell_bay_changed();
CREATE TRIGGER bay_connector_told AFTER INSERT OR UPDATE OR DELETE ON bay_connector
    FOR EACH ROW EXECUTE FUNCTION tell_bay_changed();
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="stations", description=DESCRIPTION)

    async def tell():
        await engine_finder().current_transaction.get().connection.execute(STATEMENTS)

    manager.add_raw(tell)
    return manager
