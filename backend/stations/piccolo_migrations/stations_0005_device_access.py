"""When a device's credentials were issued, how many it had, and whether they are revoked."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.columns.column_types import Integer, Timestamptz, Varchar
from piccolo.columns.indexes import IndexMethod

ID = "2026-11-21T23:31:00:000005"
VERSION = "1.38.0"
DESCRIPTION = "device access"


def _params(**own):
    return {
        "null": True,
        "primary_key": False,
        "unique": False,
        "index": False,
        "index_method": IndexMethod.btree,
        "choices": None,
        "db_column_name": None,
        "secret": False,
        "default": None,
        **own,
    }


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="stations", description=DESCRIPTION)
    for name, kind, params in (
        ("credentials_issued_at", Timestamptz, _params()),
        ("credentials_count", Integer, _params(null=False, default=1)),
        ("revoked_at", Timestamptz, _params()),
        ("revoked_reason", Varchar, _params(length=200)),
    ):
        manager.add_column(
            table_class_name="Device",
            tablename="device",
            column_name=name,
            db_column_name=name,
            column_class_name=kind.__name__,
            column_class=kind,
            params=params,
            schema=None,
        )
    return manager
