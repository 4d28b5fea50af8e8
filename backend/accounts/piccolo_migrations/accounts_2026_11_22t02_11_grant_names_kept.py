"""Grants that are there keep the name their person has now."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-22T02:11:00:000001"
VERSION = "1.38.0"
DESCRIPTION = "Names of the grants that are there"

KEEP = """
UPDATE staff_grant g SET name_cipher = a.name_cipher FROM account a
WHERE a.id = g.account_id AND a.name_cipher IS NOT NULL
"""


class RawTable(Table):
    """Only a way to the engine."""


async def forwards() -> MigrationManager:
    """Copy the names, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="accounts", description=DESCRIPTION)

    async def keep() -> None:
        await RawTable.raw(KEEP)

    manager.add_raw(keep)
    return manager
