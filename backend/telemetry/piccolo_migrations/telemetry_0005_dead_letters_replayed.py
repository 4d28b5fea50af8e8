"""When a dead letter was given another try, and what became of it."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.columns.column_types import Timestamptz, Varchar
from piccolo.columns.indexes import IndexMethod

ID = "2026-11-21T23:31:00:000020"
VERSION = "1.38.0"
DESCRIPTION = "dead letters replayed"


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
    manager = MigrationManager(migration_id=ID, app_name="telemetry", description=DESCRIPTION)
    for name, kind, params in (
        ("replayed_at", Timestamptz, _params()),
        ("replay_outcome", Varchar, _params(length=60)),
    ):
        manager.add_column(
            table_class_name="DeadLetter",
            tablename="dead_letter",
            column_name=name,
            db_column_name=name,
            column_class_name=kind.__name__,
            column_class=kind,
            params=params,
            schema=None,
        )
    return manager
