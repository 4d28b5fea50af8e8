"""Constraints of agreements, the first contract text, the package everybody has."""

import hashlib
from pathlib import Path

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-21T21:40:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "Exclusion on plate and term, foreign keys, checks, append-only texts"

CONSTRAINTS = """
CREATE EXTENSION IF NOT EXISTS btree_gist;

ALTER TABLE agreement_text
    ADD CONSTRAINT agreement_text_version UNIQUE (code, version),
    ADD CONSTRAINT agreement_text_sha256 CHECK (sha256 = sha256(convert_to(body, 'UTF8')));

ALTER TABLE package
    ADD CONSTRAINT package_code UNIQUE NULLS NOT DISTINCT (operator_company_id, code),
    ADD CONSTRAINT package_company FOREIGN KEY (operator_company_id) REFERENCES operator_company (id),
    ADD CONSTRAINT package_numbers CHECK (price_fen >= 0 AND included_wh >= 0);

ALTER TABLE agreement
    ADD COLUMN term tstzrange,
    ADD CONSTRAINT agreement_account FOREIGN KEY (account_id) REFERENCES account (id),
    ADD CONSTRAINT agreement_company FOREIGN KEY (operator_company_id) REFERENCES operator_company (id),
    ADD CONSTRAINT agreement_package_chosen FOREIGN KEY (package_id) REFERENCES package (id),
    ADD CONSTRAINT agreement_status CHECK (status IN ('submitted', 'approved', 'rejected', 'signed', 'terminated')),
    ADD CONSTRAINT agreement_rejected_with_reason CHECK (status <> 'rejected' OR decision_reason <> ''),
    ADD CONSTRAINT agreement_signed_has_term CHECK (status <> 'signed' OR (term IS NOT NULL AND NOT isempty(term))),
    ADD CONSTRAINT agreement_unsigned_has_none CHECK (status NOT IN ('submitted', 'approved', 'rejected') OR term IS NULL),
    ADD CONSTRAINT agreement_application_has_plate CHECK (status NOT IN ('submitted', 'approved') OR plate_hash IS NOT NULL),
    ADD CONSTRAINT agreement_one_per_vehicle EXCLUDE USING gist (plate_hash WITH =, term WITH &&);

CREATE UNIQUE INDEX agreement_one_application ON agreement (plate_hash) WHERE status IN ('submitted', 'approved');
CREATE INDEX agreement_by_account ON agreement (account_id, id);
CREATE INDEX agreement_by_company ON agreement (operator_company_id, status, id);
CREATE INDEX agreement_by_plate ON agreement (plate_hash);

ALTER TABLE agreement_party ADD CONSTRAINT agreement_party_of FOREIGN KEY (agreement_id) REFERENCES agreement (id) ON DELETE CASCADE;

ALTER TABLE agreement_evidence
    ADD CONSTRAINT agreement_evidence_of FOREIGN KEY (agreement_id) REFERENCES agreement (id) ON DELETE CASCADE,
    ADD CONSTRAINT agreement_evidence_once UNIQUE (agreement_id, sha256),
    ADD CONSTRAINT agreement_evidence_kind
        CHECK (kind IN ('driving_licence', 'residence', 'vehicle_use', 'identity', 'paper_signature', 'other'));

ALTER TABLE agreement_signature
    ADD CONSTRAINT agreement_signature_of FOREIGN KEY (agreement_id) REFERENCES agreement (id) ON DELETE CASCADE,
    ADD CONSTRAINT agreement_signature_text FOREIGN KEY (text_id) REFERENCES agreement_text (id);

ALTER TABLE agreement_document
    ADD CONSTRAINT agreement_document_of FOREIGN KEY (agreement_id) REFERENCES agreement (id) ON DELETE CASCADE;

ALTER TABLE agreement_package
    ADD CONSTRAINT agreement_package_of FOREIGN KEY (agreement_id) REFERENCES agreement (id) ON DELETE CASCADE,
    ADD CONSTRAINT agreement_package_is FOREIGN KEY (package_id) REFERENCES package (id);
CREATE INDEX agreement_package_latest ON agreement_package (agreement_id, chosen_at DESC, id DESC);

INSERT INTO package (id, operator_company_id, code, name_zh, name_en, description_zh, description_en, price_fen, included_wh, offered)
VALUES ('019a0000-0000-7000-8000-000000000001', NULL, 'pay_as_you_go', '按次付费', 'Pay as you go',
        '没有固定费用，每次充电后付款，服务费不高于 0.5 元/千瓦时。',
        'No fixed fee: pay after each charge; the service fee is never above 0.5 yuan/kWh.', 0, 0, true);

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'linli_app') THEN
        REVOKE UPDATE, DELETE, TRUNCATE ON agreement_text FROM linli_app;
    END IF;
END
$$;
"""

TEXT = Path(__file__).parents[1] / "texts" / "charging_agreement_1.txt"
"""Never edited once released: a new version is a new file and a new migration."""


async def forwards() -> MigrationManager:
    """Add constraints and first rows, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="agreements", description=DESCRIPTION)

    async def constrain() -> None:
        connection = engine_finder().current_transaction.get().connection
        await connection.execute(CONSTRAINTS)
        body = TEXT.read_text(encoding="utf-8")
        await connection.execute(
            "INSERT INTO agreement_text (id, code, version, title, body, sha256, effective_from)"
            " VALUES ('019a0000-0000-7000-8000-000000000002', 'charging_agreement', 1, '惠民充电服务协议', $1, $2, '2020-01-01T00:00:00Z')",
            body,
            hashlib.sha256(body.encode()).digest(),
        )

    manager.add_raw(constrain)
    return manager
