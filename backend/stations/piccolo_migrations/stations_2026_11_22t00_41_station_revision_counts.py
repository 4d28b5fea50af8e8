"""`station_revision`: how often a station's topology or settings changed, counted in the transaction that changes them.

`station_mark` answers from it: reading every row of a station for its mark took longer than the rest of a `/slots`
call. When a painted zone begins or ends by the clock nothing is counted: who keeps something asks for that instant.
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-22T00:41:00:000140"
VERSION = "1.38.0"
DESCRIPTION = "station_revision counts"

STATEMENTS = """
INSERT INTO station_revision (id, revision) SELECT id, 1 FROM station;

CREATE FUNCTION count_station_change(station_id uuid) RETURNS void LANGUAGE sql AS $$
INSERT INTO station_revision AS r (id, revision) SELECT count_station_change.station_id, 1
WHERE count_station_change.station_id IS NOT NULL ON CONFLICT (id) DO UPDATE SET revision = r.revision + 1
$$;

-- The argument is the column with the station's id.
CREATE FUNCTION station_part_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM count_station_change((to_jsonb(COALESCE(NEW, OLD)) ->> TG_ARGV[0])::uuid);
    RETURN NULL;
END $$;

CREATE FUNCTION bay_part_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM count_station_change((SELECT b.station_id FROM bay b WHERE b.id = (COALESCE(NEW, OLD)).bay_id));
    RETURN NULL;
END $$;

CREATE TRIGGER station_counted AFTER INSERT OR UPDATE ON station
    FOR EACH ROW EXECUTE FUNCTION station_part_changed('id');
CREATE TRIGGER charger_counted AFTER INSERT OR UPDATE OR DELETE ON charger
    FOR EACH ROW EXECUTE FUNCTION station_part_changed('station_id');
CREATE TRIGGER connector_counted AFTER INSERT OR UPDATE OR DELETE ON connector
    FOR EACH ROW EXECUTE FUNCTION station_part_changed('station_id');
CREATE TRIGGER bay_counted AFTER INSERT OR UPDATE OR DELETE ON bay
    FOR EACH ROW EXECUTE FUNCTION station_part_changed('station_id');
CREATE TRIGGER bay_zone_counted AFTER INSERT OR UPDATE OR DELETE ON bay_zone
    FOR EACH ROW EXECUTE FUNCTION bay_part_changed();
CREATE TRIGGER bay_connector_counted AFTER INSERT OR UPDATE OR DELETE ON bay_connector
    FOR EACH ROW EXECUTE FUNCTION bay_part_changed();

CREATE OR REPLACE FUNCTION station_mark(station_id uuid) RETURNS bigint LANGUAGE sql STABLE AS $$
SELECT r.revision FROM station_revision r WHERE r.id = station_mark.station_id
$$;
"""


async def forwards() -> MigrationManager:
    """Add what counts, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="stations", description=DESCRIPTION)

    async def change() -> None:
        await engine_finder().current_transaction.get().connection.execute(STATEMENTS)

    manager.add_raw(change)
    return manager
