"""No overlap, no agreement service price above the cap, no change after publication."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-21T21:30:00:000002"
VERSION = "1.38.0"
DESCRIPTION = "constraints"

CONSTRAINTS = """
CREATE EXTENSION IF NOT EXISTS btree_gist;

ALTER TABLE tariff_version
    ADD COLUMN scope_id uuid GENERATED ALWAYS AS (COALESCE(station_id, operator_company_id)) STORED,
    ADD CONSTRAINT tariff_version_station FOREIGN KEY (station_id) REFERENCES station (id),
    ADD CONSTRAINT tariff_version_status CHECK (status IN ('draft', 'approved', 'published')),
    ADD CONSTRAINT tariff_version_supply_class
        CHECK (supply_class IN ('residential', 'below_1kv', '1_10kv_single', '1_10kv_two_part', 'resold')),
    ADD CONSTRAINT tariff_version_order CHECK (effective_from < effective_to),
    ADD CONSTRAINT tariff_version_second_person CHECK (approved_by <> created_by),
    ADD CONSTRAINT tariff_version_steps CHECK (
        (status = 'draft' OR (approved_by IS NOT NULL AND approved_at IS NOT NULL))
        AND (status <> 'published' OR (published_by IS NOT NULL AND published_at IS NOT NULL))),
    ADD CONSTRAINT tariff_version_no_overlap EXCLUDE USING gist (
        scope_id WITH =, supply_class WITH =, tstzrange(effective_from, effective_to) WITH &&)
        WHERE (status = 'published');

ALTER TABLE tariff_price
    ADD CONSTRAINT tariff_price_version FOREIGN KEY (version_id) REFERENCES tariff_version (id),
    ADD CONSTRAINT tariff_price_once UNIQUE (version_id, user_class, band),
    ADD CONSTRAINT tariff_price_class CHECK (user_class IN ('agreement', 'market')),
    ADD CONSTRAINT tariff_price_band CHECK (band IN ('sharp', 'peak', 'flat', 'valley')),
    ADD CONSTRAINT tariff_price_not_negative CHECK (energy_e4 >= 0 AND service_e4 >= 0),
    ADD CONSTRAINT tariff_price_agreement_cap CHECK (user_class <> 'agreement' OR service_e4 <= 5000);

CREATE FUNCTION tariff_version_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'draft' THEN
        RETURN COALESCE(NEW, OLD);
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a tariff version is never deleted after its approval' USING ERRCODE = 'restrict_violation';
    END IF;
    IF (to_jsonb(NEW) - '{status,published_by,published_at,effective_to,scope_id}'::text[])
       IS DISTINCT FROM (to_jsonb(OLD) - '{status,published_by,published_at,effective_to,scope_id}'::text[])
       OR NEW.status = 'draft' OR (OLD.status = 'published' AND NEW.status <> 'published')
       OR (OLD.status = 'published' AND NEW.published_at IS DISTINCT FROM OLD.published_at)
       OR (NEW.effective_to IS DISTINCT FROM OLD.effective_to
           AND (OLD.status <> 'published' OR OLD.effective_to IS NOT NULL)) THEN
        RAISE EXCEPTION 'a tariff version is never edited after its approval; only an open end may be closed'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER tariff_version_keep BEFORE UPDATE OR DELETE ON tariff_version
    FOR EACH ROW EXECUTE FUNCTION tariff_version_keep();

CREATE FUNCTION tariff_price_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM tariff_version v
               WHERE v.id IN (OLD.version_id, NEW.version_id) AND v.status <> 'draft') THEN
        RAISE EXCEPTION 'the prices of a tariff version are never edited after its approval'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;
CREATE TRIGGER tariff_price_keep BEFORE INSERT OR UPDATE OR DELETE ON tariff_price
    FOR EACH ROW EXECUTE FUNCTION tariff_price_keep();
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="tariffs", description=DESCRIPTION)

    async def constrain():
        await engine_finder().current_transaction.get().connection.execute(CONSTRAINTS)

    manager.add_raw(constrain)
    return manager
