"""The job queue (PgQueuer 1.6), the idempotency key, the service's role and its grants."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment

ID = "2026-11-21T21:20:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "queue, idempotency key, grants"


class Raw(Table):
    """A handle for raw SQL."""


GRANTS = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'linli_app') THEN
        CREATE ROLE linli_app NOLOGIN;
    END IF;
END
$$;
GRANT USAGE ON SCHEMA public TO linli_app;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON pgqueuer, pgqueuer_log, pgqueuer_schedules, pgqueuer_statistics TO linli_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO linli_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO linli_app;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO linli_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO linli_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO linli_app;
REVOKE UPDATE, DELETE, TRUNCATE ON domain_event, audit_entry, audit_seal FROM linli_app;
"""


def statements(sql: str) -> list[str]:
    """Split at semicolons outside of dollar-quoted bodies."""
    parts, inside = [""], False
    for line in sql.splitlines():
        if line.count("$$") % 2:
            inside = not inside
        parts[-1] += line + "\n"
        if not inside and line.rstrip().endswith(";"):
            parts.append("")
    return [part for part in parts if part.strip() and not all(l.startswith("--") or not l for l in part.splitlines())]


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="core", description=DESCRIPTION)

    async def run():
        for extension in ("btree_gist", "pg_trgm"):
            await Raw.raw(f"CREATE EXTENSION IF NOT EXISTS {extension}")
        for statement in statements(QueryBuilderEnvironment().build_install_query()):
            await Raw.raw(statement.replace("{", "{{").replace("}", "}}"))
        await Raw.raw(
            "CREATE UNIQUE INDEX idempotency_record_key ON idempotency_record (caller, key, operation)"
        )
        for statement in statements(GRANTS):
            await Raw.raw(statement)

    async def run_backwards():
        await Raw.raw("DROP INDEX idempotency_record_key")
        for statement in statements(QueryBuilderEnvironment().build_uninstall_query()):
            await Raw.raw(statement)

    manager.add_raw(run)
    manager.add_raw_backwards(run_backwards)
    return manager
