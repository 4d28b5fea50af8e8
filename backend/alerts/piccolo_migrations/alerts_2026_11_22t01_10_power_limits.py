"""What limit a charger acknowledged for a connector, and the giving back of power as an action that is followed."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.columns.column_types import BigInt, Timestamptz
from piccolo.columns.indexes import IndexMethod
from piccolo.table import Table

ID = "2026-11-22T01:10:00:150020"
VERSION = "1.38.0"
DESCRIPTION = "power limits in force"


class RawTable(Table):
    """Only a way to the engine."""


async def forwards() -> MigrationManager:
    """Add the columns and widen the kinds of action, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="alerts", description=DESCRIPTION)
    for name, column in (("limit_w", BigInt), ("limit_until", Timestamptz), ("limit_at", Timestamptz)):
        manager.add_column(
            table_class_name="ConnectorWatchState",
            tablename="connector_watch_state",
            column_name=name,
            db_column_name=name,
            column_class_name=column.__name__,
            column_class=column,
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

    async def widen() -> None:
        await RawTable.raw(
            "ALTER TABLE incident_action DROP CONSTRAINT incident_action_kind, ADD CONSTRAINT incident_action_kind"
            " CHECK (kind IN ('stop_session', 'lower_lock', 'cut_power', 'restore_power'))"
        )

    manager.add_raw(widen)
    return manager
