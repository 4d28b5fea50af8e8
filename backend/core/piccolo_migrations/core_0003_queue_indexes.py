"""The queue's indexes: one in the order in which jobs are taken; nothing that would lead past others' jobs.

PgQueuer takes from each kind of job the first few that are due. Of its own indexes the planner chose
`(priority, id)`, and walked the whole queue once for each of a hundred kinds: 1.4 s a batch with 40,000 jobs waiting.
Here the due time is part of the index, so that timers of next week are passed by without being read from the table.
Queue rows live for seconds: the table is vacuumed and analysed after thousands of changes, not after a share of it.
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-22T02:12:00:000125"
VERSION = "1.38.0"
DESCRIPTION = "indexes of the queue"


class Raw(Table):
    """A handle for raw SQL."""


STATEMENTS = (
    "CREATE INDEX pgqueuer_take_idx ON pgqueuer (entrypoint, priority DESC, id, execute_after)"
    " WHERE status = 'queued'",
    "DROP INDEX IF EXISTS pgqueuer_priority_id_id1_idx",
    "DROP INDEX IF EXISTS pgqueuer_ep_prio_id_idx",
    "ALTER TABLE pgqueuer SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,"
    " autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 500,"
    " autovacuum_vacuum_cost_limit = 10000, autovacuum_vacuum_cost_delay = 0)",
)


async def forwards() -> MigrationManager:
    """Change the indexes, forwards only; all of it in the migration's transaction."""
    manager = MigrationManager(migration_id=ID, app_name="core", description=DESCRIPTION)

    async def run() -> None:
        for statement in STATEMENTS:
            await Raw.raw(statement)

    manager.add_raw(run)
    return manager
