"""Checks, unique keys, the balance trigger of the ledger and its append-only grant."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-21T23:31:00:000002"
VERSION = "1.38.0"
DESCRIPTION = "constraints, ledger"

CONSTRAINTS = """
ALTER TABLE merchant_account
    ADD CONSTRAINT merchant_account_company FOREIGN KEY (operator_company_id) REFERENCES operator_company (id),
    ADD CONSTRAINT merchant_account_number UNIQUE (provider, merchant_no);
CREATE UNIQUE INDEX merchant_account_active ON merchant_account (operator_company_id, provider) WHERE active;

ALTER TABLE payment
    ADD CONSTRAINT payment_merchant FOREIGN KEY (merchant_account_id) REFERENCES merchant_account (id),
    ADD CONSTRAINT payment_amount CHECK (amount_fen > 0),
    ADD CONSTRAINT payment_state CHECK (state IN ('created', 'prepared', 'succeeded', 'closed')),
    ADD CONSTRAINT payment_prepared CHECK (state <> 'prepared' OR prepay_token IS NOT NULL),
    ADD CONSTRAINT payment_succeeded CHECK ((state = 'succeeded') = (paid_at IS NOT NULL AND transaction_no IS NOT NULL));
CREATE UNIQUE INDEX payment_open_of_order ON payment (order_id) WHERE state IN ('created', 'prepared');
CREATE UNIQUE INDEX payment_transaction ON payment (merchant_account_id, transaction_no) WHERE transaction_no IS NOT NULL;
CREATE INDEX payment_to_check ON payment (check_at) WHERE state IN ('created', 'prepared');

ALTER TABLE refund
    ADD CONSTRAINT refund_payment FOREIGN KEY (payment_id) REFERENCES payment (id),
    ADD CONSTRAINT refund_amount CHECK (amount_fen > 0),
    ADD CONSTRAINT refund_state CHECK (state IN ('created', 'processing', 'succeeded', 'failed')),
    ADD CONSTRAINT refund_settled CHECK ((state IN ('succeeded', 'failed')) = (settled_at IS NOT NULL));
CREATE INDEX refund_to_check ON refund (check_at) WHERE state IN ('created', 'processing');

ALTER TABLE callback_nonce
    ADD CONSTRAINT callback_nonce_once UNIQUE (merchant_account_id, nonce);

ALTER TABLE ledger_entry
    ADD CONSTRAINT ledger_entry_once UNIQUE (kind, reference_id);
ALTER TABLE ledger_leg
    ADD CONSTRAINT ledger_leg_entry FOREIGN KEY (entry_id) REFERENCES ledger_entry (id),
    ADD CONSTRAINT ledger_leg_not_zero CHECK (amount_fen <> 0);

CREATE FUNCTION ledger_entry_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    checked uuid := CASE WHEN TG_TABLE_NAME = 'ledger_entry' THEN NEW.id ELSE (to_jsonb(NEW) ->> 'entry_id')::uuid END;
    legs bigint;
    total numeric;
BEGIN
    SELECT count(*), coalesce(sum(amount_fen), 0) INTO legs, total FROM ledger_leg WHERE entry_id = checked;
    IF legs < 2 OR total <> 0 THEN
        RAISE EXCEPTION 'ledger entry % has % legs that add up to % fen', checked, legs, total
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entry_balances';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER ledger_entry_balances AFTER INSERT OR UPDATE ON ledger_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_entry_balances();
CREATE CONSTRAINT TRIGGER ledger_leg_balances AFTER INSERT OR UPDATE ON ledger_leg
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_entry_balances();

-- A payment or refund may change its state only; the ledger may not change at all.
REVOKE UPDATE, DELETE, TRUNCATE ON ledger_entry, ledger_leg FROM linli_app;
REVOKE DELETE, TRUNCATE ON payment, refund FROM linli_app;
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="payments", description=DESCRIPTION)

    async def constrain():
        await engine_finder().current_transaction.get().connection.execute(CONSTRAINTS)

    manager.add_raw(constrain)
    return manager
