"""Checks of the changes of refund limits: who proposes a higher one does not decide, and one waits at a time."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-22T00:46:00:000120"
VERSION = "1.38.0"
DESCRIPTION = "constraints of limits of refunds"

CONSTRAINTS = """
ALTER TABLE refund_limit_change
    ADD CONSTRAINT refund_limit_change_company FOREIGN KEY (operator_company_id) REFERENCES operator_company (id),
    ADD CONSTRAINT refund_limit_change_limit CHECK (second_person_above_fen >= 0),
    ADD CONSTRAINT refund_limit_change_state CHECK (state IN ('pending', 'in_force', 'rejected')),
    ADD CONSTRAINT refund_limit_change_second_person CHECK (state <> 'in_force' OR decided_by <> proposed_by),
    ADD CONSTRAINT refund_limit_change_decided CHECK ((state = 'pending') = (decided_at IS NULL));
CREATE UNIQUE INDEX refund_limit_change_pending ON refund_limit_change (operator_company_id) WHERE state = 'pending';
REVOKE DELETE, TRUNCATE ON refund_limit_change FROM linli_app;
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="payments", description=DESCRIPTION)

    async def constrain():
        await engine_finder().current_transaction.get().connection.execute(CONSTRAINTS)

    manager.add_raw(constrain)
    return manager
