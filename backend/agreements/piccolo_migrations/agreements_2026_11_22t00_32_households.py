"""The same proof of residence is looked up by its hash: whoever handed it in is one household."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-22T00:32:00:000130"
VERSION = "1.38.0"
DESCRIPTION = "proofs of residence by hash"


class RawTable(Table):
    """Only a way to the engine."""


async def forwards() -> MigrationManager:
    """Add the index, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="agreements", description=DESCRIPTION)

    async def add() -> None:
        await RawTable.raw(
            "CREATE INDEX agreement_evidence_residence ON agreement_evidence (sha256) WHERE kind = 'residence'"
        )
        await RawTable.raw(
            "CREATE INDEX agreement_driver_of_account ON agreement_driver (account_id) WHERE removed_at IS NULL"
        )

    manager.add_raw(add)
    return manager
