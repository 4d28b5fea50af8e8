"""`station_mark`: one number that differs whenever anything of a station's topology or settings does.

Whoever keeps what it worked out from a station asks for the mark, in the same statement as for its own marks, instead
of reading everything again. A row's `xmin` is new with each change of it; a painted zone also begins and ends by the
clock. NULL for a station that is not there. Safety holds are not part of it.
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-22T00:10:00:000140"
VERSION = "1.38.0"
DESCRIPTION = "station_mark"

STATEMENTS = """
CREATE FUNCTION station_mark(station_id uuid) RETURNS bigint LANGUAGE sql STABLE AS $$
SELECT bit_xor(mark) FROM (
    SELECT hash_record_extended(ROW(s.id, s.xmin), 1) AS mark FROM station s WHERE s.id = station_mark.station_id
    UNION ALL
    SELECT hash_record_extended(ROW(p.id, p.xmin), 2) FROM charger p WHERE p.station_id = station_mark.station_id
    UNION ALL
    SELECT hash_record_extended(ROW(c.id, c.xmin), 3) FROM connector c WHERE c.station_id = station_mark.station_id
    UNION ALL
    SELECT hash_record_extended(ROW(b.id, b.xmin), 4) FROM bay b WHERE b.station_id = station_mark.station_id
    UNION ALL
    SELECT hash_record_extended(ROW(z.id, z.xmin, tstzrange(z.valid_from, z.valid_to) @> now()), 5)
    FROM bay b JOIN bay_zone z ON z.bay_id = b.id WHERE b.station_id = station_mark.station_id
    UNION ALL
    SELECT hash_record_extended(ROW(r.id, r.xmin, tstzrange(r.valid_from, r.valid_to) @> now()), 6)
    FROM bay b JOIN bay_connector r ON r.bay_id = b.id WHERE b.station_id = station_mark.station_id
) marks
$$;
"""


async def forwards() -> MigrationManager:
    """Add the function, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="stations", description=DESCRIPTION)

    async def change() -> None:
        await engine_finder().current_transaction.get().connection.execute(STATEMENTS)

    manager.add_raw(change)
    return manager
