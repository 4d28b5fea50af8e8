"""Checks and unique keys of bills and refund requests."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-21T23:41:00:000004"
VERSION = "1.38.0"
DESCRIPTION = "constraints of bills and refund requests"

CONSTRAINTS = """
ALTER TABLE reconciliation
    ADD CONSTRAINT reconciliation_company FOREIGN KEY (operator_company_id) REFERENCES operator_company (id),
    ADD CONSTRAINT reconciliation_merchant FOREIGN KEY (merchant_account_id) REFERENCES merchant_account (id),
    ADD CONSTRAINT reconciliation_once UNIQUE (merchant_account_id, day),
    ADD CONSTRAINT reconciliation_state CHECK (state IN ('matched', 'differs'));
CREATE INDEX reconciliation_by_company ON reconciliation (operator_company_id, day);
ALTER TABLE bill_row
    ADD CONSTRAINT bill_row_of FOREIGN KEY (reconciliation_id) REFERENCES reconciliation (id) ON DELETE CASCADE,
    ADD CONSTRAINT bill_row_once UNIQUE (reconciliation_id, kind, number),
    ADD CONSTRAINT bill_row_kind CHECK (kind IN ('payment', 'refund'));
ALTER TABLE bill_difference
    ADD CONSTRAINT bill_difference_of FOREIGN KEY (reconciliation_id) REFERENCES reconciliation (id) ON DELETE CASCADE,
    ADD CONSTRAINT bill_difference_kind CHECK (kind IN ('payment', 'refund')),
    ADD CONSTRAINT bill_difference_what CHECK
        (what IN ('missing_in_bill', 'unknown_to_us', 'amount_differs', 'state_differs', 'ledger_differs'));
ALTER TABLE refund_rule
    ADD CONSTRAINT refund_rule_company FOREIGN KEY (operator_company_id) REFERENCES operator_company (id),
    ADD CONSTRAINT refund_rule_limit CHECK (second_person_above_fen >= 0);
ALTER TABLE refund_request
    ADD CONSTRAINT refund_request_payment FOREIGN KEY (payment_id) REFERENCES payment (id),
    ADD CONSTRAINT refund_request_refund FOREIGN KEY (refund_id) REFERENCES refund (id),
    ADD CONSTRAINT refund_request_amount CHECK (amount_fen > 0),
    ADD CONSTRAINT refund_request_state CHECK (state IN ('pending', 'approved', 'rejected')),
    ADD CONSTRAINT refund_request_second_person CHECK (decided_by IS NULL OR state = 'rejected' OR decided_by <> requested_by),
    ADD CONSTRAINT refund_request_decided CHECK ((state = 'pending') = (decided_at IS NULL)),
    ADD CONSTRAINT refund_request_made CHECK ((state = 'approved') = (refund_id IS NOT NULL));
REVOKE DELETE, TRUNCATE ON refund_request FROM linli_app;
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="payments", description=DESCRIPTION)

    async def constrain():
        await engine_finder().current_transaction.get().connection.execute(CONSTRAINTS)

    manager.add_raw(constrain)
    return manager
