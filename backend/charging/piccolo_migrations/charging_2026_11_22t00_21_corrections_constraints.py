"""What the raw tables held moves over; corrections of statements and of tariff versions get their constraints.

A supplement belongs to an order or to a statement. The package line of a statement may be written anew (a correction
of one of its orders moves the cap of the period), its checks stay: the cap holds before and after.
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-22T00:21:00:000102"
VERSION = "1.38.0"
DESCRIPTION = "Constraints of corrections"

STATEMENTS = """
INSERT INTO order_correction (id, order_id, operator_company_id, state, reason, readings, before, after, difference_fen,
        requested_by, requested_at, decided_by, decided_at, decision_note)
    SELECT id, order_id, operator_company_id, state, reason, readings, before, after, difference_fen,
           requested_by, requested_at, decided_by, decided_at, decision_note FROM order_correction_raw;
DROP TABLE order_correction_raw;
INSERT INTO order_supplement (id, order_id, amount_fen, status, created_at, paid_at, payment_id)
    SELECT id, order_id, amount_fen, status, created_at, paid_at, payment_id FROM order_supplement_raw;
DROP TABLE order_supplement_raw;

ALTER TABLE order_correction
    ADD CONSTRAINT order_correction_order FOREIGN KEY (order_id) REFERENCES charge_order (id),
    ADD CONSTRAINT order_correction_company FOREIGN KEY (operator_company_id) REFERENCES operator_company (id),
    ADD CONSTRAINT order_correction_tariff FOREIGN KEY (tariff_correction_id) REFERENCES tariff_correction (id),
    ADD CONSTRAINT order_correction_tariff_once UNIQUE (tariff_correction_id, order_id),
    ADD CONSTRAINT order_correction_state CHECK (state IN ('pending', 'applied', 'rejected')),
    ADD CONSTRAINT order_correction_second_person
        CHECK (decided_by IS NULL OR state = 'rejected' OR decided_by <> requested_by),
    ADD CONSTRAINT order_correction_decided CHECK ((state = 'pending') = (decided_at IS NULL)),
    ADD CONSTRAINT order_correction_difference CHECK
        (difference_fen = (after ->> 'total_fen')::bigint - (before ->> 'total_fen')::bigint);
CREATE INDEX order_correction_of ON order_correction (order_id, id);
CREATE UNIQUE INDEX order_correction_one_pending ON order_correction (order_id) WHERE state = 'pending';

ALTER TABLE order_supplement
    ADD CONSTRAINT order_supplement_order FOREIGN KEY (order_id) REFERENCES charge_order (id),
    ADD CONSTRAINT order_supplement_statement FOREIGN KEY (statement_id) REFERENCES statement (id),
    ADD CONSTRAINT order_supplement_of_one CHECK (num_nonnulls(order_id, statement_id) = 1),
    ADD CONSTRAINT order_supplement_amount CHECK (amount_fen > 0),
    ADD CONSTRAINT order_supplement_status CHECK (status IN ('unpaid', 'paid', 'cancelled')),
    ADD CONSTRAINT order_supplement_paid
        CHECK ((status = 'paid') = (paid_at IS NOT NULL AND payment_id IS NOT NULL));
CREATE INDEX order_supplement_of ON order_supplement (order_id, id) WHERE order_id IS NOT NULL;
CREATE INDEX order_supplement_of_statement ON order_supplement (statement_id, id) WHERE statement_id IS NOT NULL;
CREATE UNIQUE INDEX order_supplement_one_unpaid ON order_supplement (order_id, statement_id) NULLS NOT DISTINCT
    WHERE status = 'unpaid';

ALTER TABLE statement_correction
    ADD CONSTRAINT statement_correction_of FOREIGN KEY (statement_id) REFERENCES statement (id),
    ADD CONSTRAINT statement_correction_by FOREIGN KEY (order_correction_id) REFERENCES order_correction (id),
    ADD CONSTRAINT statement_correction_difference CHECK (difference_fen =
        (after ->> 'package_fee_fen')::bigint - (before ->> 'package_fee_fen')::bigint);
CREATE INDEX statement_correction_by_statement ON statement_correction (statement_id, id);

ALTER TABLE tariff_correction
    ADD CONSTRAINT tariff_correction_company FOREIGN KEY (operator_company_id) REFERENCES operator_company (id),
    ADD CONSTRAINT tariff_correction_version FOREIGN KEY (version_id) REFERENCES tariff_version (id),
    ADD CONSTRAINT tariff_correction_replacement FOREIGN KEY (replacement_id) REFERENCES tariff_version (id),
    ADD CONSTRAINT tariff_correction_differs CHECK (version_id <> replacement_id),
    ADD CONSTRAINT tariff_correction_state CHECK (state IN ('pending', 'approved', 'rejected')),
    ADD CONSTRAINT tariff_correction_second_person
        CHECK (decided_by IS NULL OR state = 'rejected' OR decided_by <> requested_by),
    ADD CONSTRAINT tariff_correction_decided
        CHECK ((state = 'pending') = (decided_at IS NULL AND decided_by IS NULL));
CREATE UNIQUE INDEX tariff_correction_once ON tariff_correction (version_id) WHERE state <> 'rejected';
CREATE INDEX tariff_correction_by_company ON tariff_correction (operator_company_id, id);

ALTER TABLE tariff_correction_order
    ADD CONSTRAINT tariff_correction_order_of FOREIGN KEY (tariff_correction_id) REFERENCES tariff_correction (id),
    ADD CONSTRAINT tariff_correction_order_is FOREIGN KEY (order_id) REFERENCES charge_order (id),
    ADD CONSTRAINT tariff_correction_order_by FOREIGN KEY (order_correction_id) REFERENCES order_correction (id),
    ADD CONSTRAINT tariff_correction_order_once UNIQUE (tariff_correction_id, order_id),
    ADD CONSTRAINT tariff_correction_order_state CHECK (state IN ('waiting', 'applied', 'unchanged', 'held')),
    ADD CONSTRAINT tariff_correction_order_settled CHECK ((state = 'waiting') = (settled_at IS NULL)),
    ADD CONSTRAINT tariff_correction_order_applied CHECK ((state = 'applied') = (order_correction_id IS NOT NULL));
CREATE INDEX tariff_correction_order_waiting ON tariff_correction_order (tariff_correction_id, id)
    WHERE state = 'waiting';
CREATE INDEX charge_order_by_version ON charge_order ((tariff ->> 'version_id'));

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'linli_app') THEN
        GRANT SELECT, INSERT, UPDATE ON order_correction, order_supplement, tariff_correction, tariff_correction_order
            TO linli_app;
        GRANT SELECT, INSERT ON statement_correction TO linli_app;
        GRANT UPDATE ON statement_package TO linli_app;
        REVOKE DELETE, TRUNCATE ON order_correction, order_supplement, tariff_correction, tariff_correction_order
            FROM linli_app;
        REVOKE UPDATE, DELETE, TRUNCATE ON statement_correction FROM linli_app;
    END IF;
END
$$;
"""


async def forwards() -> MigrationManager:
    """Move the rows and add the constraints, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="charging", description=DESCRIPTION)

    async def constrain() -> None:
        await engine_finder().current_transaction.get().connection.execute(STATEMENTS)

    manager.add_raw(constrain)
    return manager
