"""Constraints of the console's logins and sessions."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-22T00:12:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "A login is of an account; sessions and secrets end with it; actions are append-only by grant"

CONSTRAINTS = """
ALTER TABLE console_user
    ADD CONSTRAINT console_user_account FOREIGN KEY (account_id) REFERENCES account (id),
    ADD CONSTRAINT console_user_no_superuser CHECK (NOT superuser);
ALTER TABLE console_session
    ADD CONSTRAINT console_session_user FOREIGN KEY (user_id) REFERENCES console_user (id) ON DELETE CASCADE;
ALTER TABLE console_secret
    ADD CONSTRAINT console_secret_user FOREIGN KEY (user_id) REFERENCES console_user (id) ON DELETE CASCADE;
CREATE UNIQUE INDEX console_secret_in_force ON console_secret (user_id) WHERE revoked_at IS NULL;
CREATE INDEX console_action_same ON console_action (account_id, form, at DESC);

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'linli_app') THEN
        REVOKE UPDATE, TRUNCATE ON console_action FROM linli_app;
    END IF;
END
$$;
"""


async def forwards() -> MigrationManager:
    """Add the constraints, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="console", description=DESCRIPTION)

    async def constrain() -> None:
        await engine_finder().current_transaction.get().connection.execute(CONSTRAINTS)

    manager.add_raw(constrain)
    return manager
