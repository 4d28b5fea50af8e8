"""When the content of a picture was deleted; null while it is kept."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.columns.column_types import Timestamptz
from piccolo.columns.indexes import IndexMethod

ID = "2026-11-22T00:55:00:150010"
VERSION = "1.38.0"
DESCRIPTION = "photos are deleted in time"


async def forwards() -> MigrationManager:
    """Add the column, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="maintenance", description=DESCRIPTION)
    manager.add_column(
        table_class_name="MaintenancePhoto",
        tablename="maintenance_photo",
        column_name="deleted_at",
        db_column_name="deleted_at",
        column_class_name="Timestamptz",
        column_class=Timestamptz,
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
    )
    return manager
