from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-21T23:30:00:100003"
VERSION = "1.38.0"
DESCRIPTION = "credits constraints"

STATEMENTS = (
    """
    ALTER TABLE discount_credit
        ADD CONSTRAINT discount_credit_amount CHECK (amount_fen > 0 AND remaining_fen BETWEEN 0 AND amount_fen),
        ADD CONSTRAINT discount_credit_term CHECK (granted_at < expires_at)
    """,
    """
    CREATE INDEX discount_credit_open ON discount_credit (account_id, operator_company_id, expires_at) WHERE remaining_fen > 0
    """,
)


class RawTable(Table):
    """Only a way to the engine."""


async def forwards() -> MigrationManager:
    """Add the constraints, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="charging", description=DESCRIPTION)

    async def add() -> None:
        for statement in STATEMENTS:
            await RawTable.raw(statement)

    manager.add_raw(add)
    return manager
