"""Corrections of bills and what is to be paid after one; read and written in store_corrections only."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-21T23:45:00:000009"
VERSION = "1.38.0"
DESCRIPTION = "corrections and supplements"

STATEMENTS = """
CREATE TABLE order_correction (
    id uuid PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES charge_order (id),
    operator_company_id uuid NOT NULL REFERENCES operator_company (id),
    state varchar(10) NOT NULL CHECK (state IN ('pending', 'applied', 'rejected')),
    reason text NOT NULL,
    readings jsonb,
    before jsonb NOT NULL,
    after jsonb NOT NULL,
    difference_fen bigint NOT NULL,
    requested_by uuid NOT NULL,
    requested_at timestamptz NOT NULL,
    decided_by uuid,
    decided_at timestamptz,
    decision_note text,
    CONSTRAINT order_correction_second_person CHECK (decided_by IS NULL OR state = 'rejected' OR decided_by <> requested_by),
    CONSTRAINT order_correction_decided CHECK ((state = 'pending') = (decided_at IS NULL)),
    CONSTRAINT order_correction_difference CHECK
        (difference_fen = (after ->> 'total_fen')::bigint - (before ->> 'total_fen')::bigint)
);
CREATE INDEX order_correction_of ON order_correction (order_id, id);
CREATE UNIQUE INDEX order_correction_one_pending ON order_correction (order_id) WHERE state = 'pending';
CREATE TABLE order_supplement (
    id uuid PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES charge_order (id),
    amount_fen bigint NOT NULL CHECK (amount_fen > 0),
    status varchar(10) NOT NULL CHECK (status IN ('unpaid', 'paid', 'cancelled')),
    created_at timestamptz NOT NULL,
    paid_at timestamptz,
    payment_id uuid,
    CONSTRAINT order_supplement_paid CHECK ((status = 'paid') = (paid_at IS NOT NULL AND payment_id IS NOT NULL))
);
CREATE UNIQUE INDEX order_supplement_one_unpaid ON order_supplement (order_id) WHERE status = 'unpaid';
GRANT SELECT, INSERT, UPDATE ON order_correction, order_supplement TO linli_app;
REVOKE DELETE, TRUNCATE ON order_correction, order_supplement FROM linli_app;
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="charging", description=DESCRIPTION)

    async def add():
        await engine_finder().current_transaction.get().connection.execute(STATEMENTS)

    manager.add_raw(add)
    return manager
