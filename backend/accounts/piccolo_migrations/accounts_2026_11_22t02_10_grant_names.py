"""A grant has the name that the company wrote down, so that a phone number does not tell whose it is."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.columns.column_types import Bytea
from piccolo.columns.indexes import IndexMethod

ID = "2026-11-22T02:10:00:000001"
VERSION = "1.38.0"
DESCRIPTION = "Names on grants"


async def forwards() -> MigrationManager:
    """Add the column, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="accounts", description=DESCRIPTION)
    manager.add_column(
        table_class_name="StaffGrant",
        tablename="staff_grant",
        column_name="name_cipher",
        db_column_name="name_cipher",
        column_class_name="Bytea",
        column_class=Bytea,
        params={
            "default": None,
            "null": True,
            "primary_key": False,
            "unique": False,
            "index": False,
            "index_method": IndexMethod.btree,
            "choices": None,
            "db_column_name": None,
            "secret": False,
        },
        schema=None,
    )
    return manager
