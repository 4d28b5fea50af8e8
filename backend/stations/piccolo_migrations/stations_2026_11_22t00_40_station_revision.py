"""The table of `station_mark`; see the next migration."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.columns.column_types import UUID, BigInt
from piccolo.columns.indexes import IndexMethod

from backend.core.ids import new_id

ID = "2026-11-22T00:40:00:000140"
VERSION = "1.38.0"
DESCRIPTION = "station_revision"

async def forwards() -> MigrationManager:
    """Add the table, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="stations", description=DESCRIPTION)
    manager.add_table(class_name="StationRevision", tablename="station_revision", schema=None, columns=None)
    manager.add_column(
        table_class_name="StationRevision",
        tablename="station_revision",
        column_name="id",
        db_column_name="id",
        column_class_name="UUID",
        column_class=UUID,
        params={
            "default": new_id,
            "null": False,
            "primary_key": True,
            "unique": False,
            "index": False,
            "index_method": IndexMethod.btree,
            "choices": None,
            "db_column_name": None,
            "secret": False,
            "help_text": "the station",
        },
        schema=None,
    )
    manager.add_column(
        table_class_name="StationRevision",
        tablename="station_revision",
        column_name="revision",
        db_column_name="revision",
        column_class_name="BigInt",
        column_class=BigInt,
        params={
            "default": 1,
            "null": False,
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
