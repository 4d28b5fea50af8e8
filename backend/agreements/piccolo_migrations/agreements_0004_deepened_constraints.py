"""Constraints of packages, text drafts, drivers, exchanges and paper signatures."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-21T22:26:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "Packages have terms that stay, texts two people, signatures a means"

CONSTRAINTS = """
UPDATE package SET kind = 'pay_as_you_go' WHERE code = 'pay_as_you_go' AND operator_company_id IS NULL;
ALTER TABLE package
    ADD CONSTRAINT package_kind CHECK (kind IN ('pay_as_you_go', 'valley', 'bundle', 'trial')),
    ADD CONSTRAINT package_status CHECK (status IN ('draft', 'offered', 'withdrawn')),
    ADD CONSTRAINT package_free_has_no_terms CHECK
        (kind <> 'pay_as_you_go' OR (price_fen = 0 AND included_wh = 0 AND max_periods IS NULL)),
    ADD CONSTRAINT package_valley_is_valley CHECK (kind <> 'valley' OR bands = '["valley"]'::jsonb),
    ADD CONSTRAINT package_trial_ends CHECK ((kind = 'trial') = (max_periods IS NOT NULL)),
    ADD CONSTRAINT package_periods CHECK (max_periods BETWEEN 1 AND 12),
    ADD CONSTRAINT package_second_person CHECK
        (operator_company_id IS NULL OR status = 'draft' OR approved_by IS DISTINCT FROM drafted_by),
    ADD CONSTRAINT package_approved CHECK (operator_company_id IS NULL OR (status = 'draft') = (approved_at IS NULL)),
    ADD CONSTRAINT package_available CHECK (available_until > available_from);

CREATE FUNCTION package_terms_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status <> 'draft' AND (OLD.kind, OLD.code, OLD.price_fen, OLD.included_wh, OLD.bands, OLD.max_periods,
            OLD.operator_company_id, OLD.available_from) IS DISTINCT FROM
           (NEW.kind, NEW.code, NEW.price_fen, NEW.included_wh, NEW.bands, NEW.max_periods,
            NEW.operator_company_id, NEW.available_from) THEN
        RAISE EXCEPTION 'the terms of package % were approved and stay', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER package_terms_stay BEFORE UPDATE ON package FOR EACH ROW EXECUTE FUNCTION package_terms_stay();

UPDATE agreement_package SET effective_from = chosen_at;
DROP INDEX agreement_package_latest;
CREATE INDEX agreement_package_in_force ON agreement_package (agreement_id, effective_from DESC, id DESC);

ALTER TABLE agreement_text
    DROP CONSTRAINT agreement_text_version,
    ADD CONSTRAINT agreement_text_version UNIQUE NULLS NOT DISTINCT (operator_company_id, code, version),
    ADD CONSTRAINT agreement_text_company FOREIGN KEY (operator_company_id) REFERENCES operator_company (id);
ALTER TABLE agreement_text_draft
    ADD CONSTRAINT agreement_text_draft_company FOREIGN KEY (operator_company_id) REFERENCES operator_company (id),
    ADD CONSTRAINT agreement_text_draft_text FOREIGN KEY (text_id) REFERENCES agreement_text (id),
    ADD CONSTRAINT agreement_text_draft_status CHECK (status IN ('draft', 'approved', 'withdrawn')),
    ADD CONSTRAINT agreement_text_draft_decided CHECK ((status = 'draft') = (decided_at IS NULL)),
    ADD CONSTRAINT agreement_text_draft_approved CHECK ((status = 'approved') = (text_id IS NOT NULL)),
    ADD CONSTRAINT agreement_text_draft_second_person CHECK (status <> 'approved' OR decided_by <> drafted_by);
CREATE INDEX agreement_text_draft_by_company ON agreement_text_draft (operator_company_id, id);

ALTER TABLE agreement
    ADD CONSTRAINT agreement_renews FOREIGN KEY (renews_id) REFERENCES agreement (id) ON DELETE SET NULL,
    ADD CONSTRAINT agreement_applied_through CHECK (applied_through IN ('app', 'hotline', 'desk')),
    ADD CONSTRAINT agreement_applied_by CHECK ((applied_through = 'app') = (applied_by IS NULL)),
    ADD CONSTRAINT agreement_waiting_for CHECK (waiting_for IN ('company', 'resident')),
    ADD CONSTRAINT agreement_approved_by_another CHECK (status <> 'approved' OR decided_by IS DISTINCT FROM applied_by);
CREATE INDEX agreement_ending ON agreement (upper(term)) WHERE status = 'signed';
CREATE INDEX agreement_renewed ON agreement (renews_id) WHERE renews_id IS NOT NULL;

ALTER TABLE agreement_signature
    ADD CONSTRAINT agreement_signature_method CHECK (
        (method = 'sms_code' AND code_id IS NOT NULL AND evidence_id IS NULL AND acted_by IS NULL)
        OR (method = 'paper' AND code_id IS NULL AND evidence_id IS NOT NULL AND acted_by IS NOT NULL));

ALTER TABLE agreement_exchange
    ADD CONSTRAINT agreement_exchange_of FOREIGN KEY (agreement_id) REFERENCES agreement (id) ON DELETE CASCADE,
    ADD CONSTRAINT agreement_exchange_kind CHECK (kind IN ('asked', 'answered'));
CREATE INDEX agreement_exchange_by_agreement ON agreement_exchange (agreement_id, id);

ALTER TABLE agreement_driver
    ADD CONSTRAINT agreement_driver_of FOREIGN KEY (agreement_id) REFERENCES agreement (id) ON DELETE CASCADE,
    ADD CONSTRAINT agreement_driver_account FOREIGN KEY (account_id) REFERENCES account (id);
CREATE UNIQUE INDEX agreement_driver_once ON agreement_driver (agreement_id, account_id) WHERE removed_at IS NULL;
CREATE INDEX agreement_driver_by_account ON agreement_driver (account_id);

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'linli_app') THEN
        REVOKE UPDATE, TRUNCATE ON agreement_exchange FROM linli_app;
    END IF;
END
$$;
"""


async def forwards() -> MigrationManager:
    """Add the constraints, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="agreements", description=DESCRIPTION)

    async def constrain() -> None:
        await engine_finder().current_transaction.get().connection.execute(CONSTRAINTS)

    manager.add_raw(constrain)
    return manager
