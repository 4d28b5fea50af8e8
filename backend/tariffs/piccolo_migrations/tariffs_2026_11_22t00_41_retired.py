"""Retired versions, versions of groups of stations, and what grid prices and groups must be.

A retired version keeps the period it held; one that was taken back before it held has an empty period, so that it
stands against nothing, and the version before it may go on to the end the retired one had.
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-22T00:41:00:000105"
VERSION = "1.38.0"
DESCRIPTION = "retired, groups, grid prices"

STATEMENTS = """
ALTER TABLE tariff_version
    DROP CONSTRAINT tariff_version_no_overlap,
    DROP COLUMN scope_id,
    DROP CONSTRAINT tariff_version_status,
    DROP CONSTRAINT tariff_version_order,
    DROP CONSTRAINT tariff_version_steps;
ALTER TABLE tariff_version
    ADD COLUMN scope_id uuid GENERATED ALWAYS AS (COALESCE(station_id, station_group_id, operator_company_id)) STORED,
    ADD CONSTRAINT tariff_version_one_scope CHECK (num_nonnulls(station_id, station_group_id) <= 1),
    ADD CONSTRAINT tariff_version_group FOREIGN KEY (station_group_id) REFERENCES station_group (id),
    ADD CONSTRAINT tariff_version_status CHECK (status IN ('draft', 'approved', 'published', 'retired')),
    ADD CONSTRAINT tariff_version_order CHECK
        (effective_from < effective_to OR (status = 'retired' AND effective_from = effective_to)),
    ADD CONSTRAINT tariff_version_retired CHECK
        ((status = 'retired') = (retired_at IS NOT NULL) AND (status <> 'retired' OR effective_to IS NOT NULL)),
    ADD CONSTRAINT tariff_version_steps CHECK (
        (status = 'draft' OR (approved_by IS NOT NULL AND approved_at IS NOT NULL))
        AND (status <> 'published' OR (published_by IS NOT NULL AND published_at IS NOT NULL))),
    ADD CONSTRAINT tariff_version_no_overlap EXCLUDE USING gist (
        scope_id WITH =, supply_class WITH =, tstzrange(effective_from, effective_to) WITH &&)
        WHERE (status IN ('published', 'retired'));

CREATE OR REPLACE FUNCTION tariff_version_keep() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moving text[] := '{status,published_by,published_at,effective_to,scope_id,retired_by,retired_at}';
BEGIN
    IF OLD.status = 'draft' THEN
        RETURN COALESCE(NEW, OLD);
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a tariff version is never deleted after its approval' USING ERRCODE = 'restrict_violation';
    END IF;
    IF (to_jsonb(NEW) - moving) IS DISTINCT FROM (to_jsonb(OLD) - moving)
       OR NEW.status = 'draft' OR OLD.status = 'retired' OR (OLD.status = 'published' AND NEW.status = 'approved')
       OR (OLD.status = 'published' AND NEW.published_at IS DISTINCT FROM OLD.published_at)
       OR (NEW.effective_to IS DISTINCT FROM OLD.effective_to AND NOT (
            (OLD.status = 'published' AND OLD.effective_to IS NULL)
            OR (NEW.status = 'retired' AND (OLD.effective_to IS NULL OR NEW.effective_to < OLD.effective_to))
            OR (OLD.status = 'published' AND NEW.status = 'published' AND EXISTS (
                SELECT FROM tariff_version w
                 WHERE w.scope_id = OLD.scope_id AND w.supply_class = OLD.supply_class AND w.status = 'retired'
                   AND w.effective_from = OLD.effective_to AND w.effective_to = w.effective_from)))) THEN
        RAISE EXCEPTION 'a tariff version is never edited after its approval; only an open end may be closed'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

DROP TRIGGER tariff_version_told ON tariff_version;
CREATE TRIGGER tariff_version_told AFTER UPDATE ON tariff_version
    FOR EACH ROW WHEN (NEW.status IN ('published', 'retired')) EXECUTE FUNCTION tell_all_stations_changed();

ALTER TABLE station_group
    ADD CONSTRAINT station_group_name UNIQUE (operator_company_id, name),
    ADD CONSTRAINT station_group_named CHECK (name <> '');
ALTER TABLE station_group_member
    ADD CONSTRAINT station_group_member_station FOREIGN KEY (station_id) REFERENCES station (id),
    ADD CONSTRAINT station_group_member_group FOREIGN KEY (group_id) REFERENCES station_group (id);
CREATE TRIGGER station_group_member_told AFTER INSERT OR UPDATE OR DELETE ON station_group_member
    FOR EACH ROW EXECUTE FUNCTION tell_all_stations_changed();

ALTER TABLE grid_price
    ADD CONSTRAINT grid_price_once UNIQUE (operator_company_id, supply_class, month),
    ADD CONSTRAINT grid_price_month CHECK (extract(day FROM month) = 1),
    ADD CONSTRAINT grid_price_supply_class
        CHECK (supply_class IN ('residential', 'below_1kv', '1_10kv_single', '1_10kv_two_part', 'resold'));

CREATE OR REPLACE FUNCTION tariff_mark(station_id uuid, since timestamptz, until timestamptz) RETURNS bigint
LANGUAGE sql STABLE AS $$
SELECT coalesce(bit_xor(hash_record_extended(ROW(v.id, v.xmin), 0)), 0)
FROM station s LEFT JOIN station_group_member m ON m.station_id = s.id
JOIN tariff_version v ON v.scope_id IN (s.id, m.group_id, s.operator_company_id)
WHERE s.id = tariff_mark.station_id AND v.status IN ('published', 'retired')
  AND tstzrange(v.effective_from, v.effective_to) && tstzrange(since, until)
$$;
"""


async def forwards() -> MigrationManager:
    """Change the constraints, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="tariffs", description=DESCRIPTION)

    async def change() -> None:
        await engine_finder().current_transaction.get().connection.execute(STATEMENTS)

    manager.add_raw(change)
    return manager
