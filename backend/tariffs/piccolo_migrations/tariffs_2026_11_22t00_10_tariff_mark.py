"""`tariff_mark`: one number that differs whenever the published versions that price a station in a period do.

Published versions are never edited, so a version's row (`xmin` is new with each change) stands for its prices too.
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-22T00:10:00:000141"
VERSION = "1.38.0"
DESCRIPTION = "tariff_mark"

STATEMENTS = """
CREATE FUNCTION tariff_mark(station_id uuid, since timestamptz, until timestamptz) RETURNS bigint LANGUAGE sql STABLE
AS $$
SELECT coalesce(bit_xor(hash_record_extended(ROW(v.id, v.xmin), 0)), 0)
FROM station s JOIN tariff_version v ON v.scope_id IN (s.id, s.operator_company_id)
WHERE s.id = tariff_mark.station_id AND v.status = 'published'
  AND tstzrange(v.effective_from, v.effective_to) && tstzrange(since, until)
$$;
"""


async def forwards() -> MigrationManager:
    """Add the function, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="tariffs", description=DESCRIPTION)

    async def change() -> None:
        await engine_finder().current_transaction.get().connection.execute(STATEMENTS)

    manager.add_raw(change)
    return manager
