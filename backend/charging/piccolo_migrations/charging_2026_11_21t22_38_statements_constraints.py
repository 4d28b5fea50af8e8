"""A package's fee is what the rule says, a statement adds up, an order stands in one."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-21T22:38:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "The cap of every package period, the sums of statements"

CONSTRAINTS = """
ALTER TABLE charge_order_line
    DROP CONSTRAINT charge_order_line_service_fee,
    ADD CONSTRAINT charge_order_line_included CHECK (included_wh BETWEEN 0 AND energy_wh),
    ADD CONSTRAINT charge_order_line_service_fee CHECK
        (energy_wh > 0 AND service_fee_fen BETWEEN 0 AND ((energy_wh - included_wh) * service_e4 + 50000) / 100000);

CREATE INDEX charging_session_by_agreement ON charging_session (agreement_id, requested_at)
    WHERE agreement_id IS NOT NULL;

ALTER TABLE statement
    ADD CONSTRAINT statement_once UNIQUE (account_id, operator_company_id, starts_at),
    ADD CONSTRAINT statement_account FOREIGN KEY (account_id) REFERENCES account (id),
    ADD CONSTRAINT statement_company FOREIGN KEY (operator_company_id) REFERENCES operator_company (id),
    ADD CONSTRAINT statement_month CHECK (starts_at < ends_at),
    ADD CONSTRAINT statement_status CHECK (status IN ('unpaid', 'paid', 'free')),
    ADD CONSTRAINT statement_free CHECK ((status = 'free') = (package_fee_fen = 0)),
    ADD CONSTRAINT statement_paid CHECK ((status = 'paid') = (paid_at IS NOT NULL AND payment_id IS NOT NULL)),
    ADD CONSTRAINT statement_orders_total CHECK (orders_total_fen =
        energy_fee_fen + service_fee_fen + overstay_fee_fen + parking_fee_fen - discount_fen);
CREATE INDEX statement_by_account ON statement (account_id, id);
CREATE INDEX statement_by_company ON statement (operator_company_id, id);
CREATE INDEX statement_unpaid ON statement (account_id) WHERE status = 'unpaid';

ALTER TABLE statement_package
    ADD CONSTRAINT statement_package_of FOREIGN KEY (statement_id) REFERENCES statement (id),
    ADD CONSTRAINT statement_package_agreement FOREIGN KEY (package_id) REFERENCES package (id),
    ADD CONSTRAINT statement_package_once UNIQUE (agreement_id, starts_at),
    ADD CONSTRAINT statement_package_period CHECK (starts_at < ends_at),
    ADD CONSTRAINT statement_package_amounts CHECK
        (price_fen >= 0 AND energy_wh >= 0 AND used_wh BETWEEN 0 AND energy_wh AND service_fee_fen >= 0),
    ADD CONSTRAINT statement_package_cap CHECK (cap_fen = energy_wh * 5000 / 100000),
    ADD CONSTRAINT statement_package_under_cap CHECK (service_fee_fen + package_fee_fen <= cap_fen),
    ADD CONSTRAINT statement_package_fee CHECK (package_fee_fen = least(price_fen, cap_fen - service_fee_fen));

ALTER TABLE statement_order
    ADD CONSTRAINT statement_order_of FOREIGN KEY (statement_id) REFERENCES statement (id),
    ADD CONSTRAINT statement_order_is FOREIGN KEY (order_id) REFERENCES charge_order (id);

CREATE FUNCTION statement_adds_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wanted uuid := CASE WHEN TG_TABLE_NAME = 'statement' THEN NEW.id ELSE (to_jsonb(NEW) ->> 'statement_id')::uuid END;
BEGIN
    IF (SELECT package_fee_fen FROM statement WHERE id = wanted)
       <> (SELECT coalesce(sum(package_fee_fen), 0) FROM statement_package WHERE statement_id = wanted)
       OR (SELECT orders_count FROM statement WHERE id = wanted)
       <> (SELECT count(*) FROM statement_order WHERE statement_id = wanted) THEN
        RAISE EXCEPTION 'statement % does not add up', wanted USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER statement_sum AFTER INSERT OR UPDATE ON statement
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION statement_adds_up();
CREATE CONSTRAINT TRIGGER statement_package_sum AFTER INSERT OR UPDATE ON statement_package
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION statement_adds_up();

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'linli_app') THEN
        REVOKE UPDATE, DELETE, TRUNCATE ON statement_package, statement_order FROM linli_app;
        REVOKE DELETE, TRUNCATE ON statement FROM linli_app;
    END IF;
END
$$;
"""


async def forwards() -> MigrationManager:
    """Add the constraints, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="charging", description=DESCRIPTION)

    async def constrain() -> None:
        await engine_finder().current_transaction.get().connection.execute(CONSTRAINTS)

    manager.add_raw(constrain)
    return manager
