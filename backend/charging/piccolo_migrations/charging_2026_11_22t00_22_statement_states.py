"""A paid statement may be corrected to a fee of nothing; it stays paid, and the money goes back."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-22T00:22:00:000103"
VERSION = "1.38.0"
DESCRIPTION = "States of corrected statements"

STATEMENTS = """
ALTER TABLE statement
    DROP CONSTRAINT statement_free,
    ADD CONSTRAINT statement_free CHECK
        ((status <> 'free' OR package_fee_fen = 0) AND (status <> 'unpaid' OR package_fee_fen > 0));
"""


async def forwards() -> MigrationManager:
    """Change the constraint, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="charging", description=DESCRIPTION)

    async def change() -> None:
        await engine_finder().current_transaction.get().connection.execute(STATEMENTS)

    manager.add_raw(change)
    return manager
