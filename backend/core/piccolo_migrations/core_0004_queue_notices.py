"""The queue tells of jobs that come first, and of no others; workers look for the rest every few milliseconds.

PgQueuer's trigger told of every job added and done. PostgreSQL lets only one transaction at a time commit a NOTIFY, its
write to the disk included: each bill and each message of a device waited for the one before.
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-22T04:12:00:000127"
VERSION = "1.38.0"
DESCRIPTION = "notices of the queue"


class Raw(Table):
    """A handle for raw SQL."""


STATEMENTS = (
    "DROP TRIGGER IF EXISTS tg_pgqueuer_changed ON pgqueuer",
    """
    CREATE FUNCTION queue_tells_of_first() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM added WHERE priority > 0 AND execute_after <= now()) THEN
            PERFORM pg_notify('ch_pgqueuer', json_build_object('channel', 'ch_pgqueuer', 'operation', 'insert',
                'sent_at', now(), 'table', 'pgqueuer', 'type', 'table_changed_event')::text);
        END IF;
        RETURN NULL;
    END
    $$
    """,
    "CREATE TRIGGER tg_pgqueuer_changed AFTER INSERT ON pgqueuer REFERENCING NEW TABLE AS added"
    " FOR EACH STATEMENT EXECUTE FUNCTION queue_tells_of_first()",
)


async def forwards() -> MigrationManager:
    """Replace the trigger, forwards only; all of it in the migration's transaction."""
    manager = MigrationManager(migration_id=ID, app_name="core", description=DESCRIPTION)

    async def run() -> None:
        for statement in STATEMENTS:
            await Raw.raw(statement)

    manager.add_raw(run)
    return manager
