from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-21T21:31:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "One open alert per device and code, one open fire per station, an append-only safety log"

STATEMENTS = (
    """
    ALTER TABLE alert
        ADD CONSTRAINT alert_level CHECK (level IN ('info', 'warning', 'critical')),
        ADD CONSTRAINT alert_station FOREIGN KEY (station_id) REFERENCES station (id)
    """,
    """
    CREATE UNIQUE INDEX alert_one_open ON alert (device_id, connector_id, bay_id, code) NULLS NOT DISTINCT
        WHERE cleared_at IS NULL
    """,
    "CREATE INDEX alert_by_company ON alert (operator_company_id, raised_at)",
    """
    ALTER TABLE incident
        ADD CONSTRAINT incident_kind CHECK (kind IN ('fire', 'battery')),
        ADD CONSTRAINT incident_status CHECK (status IN ('open', 'acknowledged', 'on_site', 'resolved', 'reported')),
        ADD CONSTRAINT incident_resolved CHECK ((status IN ('resolved', 'reported')) = (resolved_at IS NOT NULL)),
        ADD CONSTRAINT incident_reported CHECK ((status = 'reported') = (reported_at IS NOT NULL)),
        ADD CONSTRAINT incident_station FOREIGN KEY (station_id) REFERENCES station (id)
    """,
    """
    CREATE UNIQUE INDEX incident_one_fire ON incident (station_id)
        WHERE kind = 'fire' AND status IN ('open', 'acknowledged', 'on_site')
    """,
    """
    CREATE UNIQUE INDEX incident_one_battery ON incident (connector_id)
        WHERE kind = 'battery' AND status IN ('open', 'acknowledged', 'on_site')
    """,
    "CREATE INDEX incident_by_company ON incident (operator_company_id, id)",
    "ALTER TABLE incident_step ADD CONSTRAINT incident_step_incident FOREIGN KEY (incident_id) REFERENCES incident (id)",
    "CREATE INDEX incident_step_by_incident ON incident_step (incident_id, at)",
    """
    ALTER TABLE task
        ADD CONSTRAINT task_status CHECK (status IN ('open', 'accepted', 'on_site', 'resolved')),
        ADD CONSTRAINT task_resolved CHECK ((status = 'resolved') = (resolved_at IS NOT NULL)),
        ADD CONSTRAINT task_station FOREIGN KEY (station_id) REFERENCES station (id),
        ADD CONSTRAINT task_incident FOREIGN KEY (incident_id) REFERENCES incident (id),
        ADD CONSTRAINT task_alert FOREIGN KEY (alert_id) REFERENCES alert (id)
    """,
    "CREATE UNIQUE INDEX task_one_per_incident ON task (incident_id) WHERE incident_id IS NOT NULL",
    "CREATE UNIQUE INDEX task_one_per_alert ON task (alert_id) WHERE alert_id IS NOT NULL",
    "CREATE INDEX task_by_company ON task (operator_company_id, id)",
    "CREATE INDEX safety_log_by_station ON safety_log (station_id, at)",
    "CREATE UNIQUE INDEX critical_streak_one ON critical_streak (connector_id, code)",
    "CREATE UNIQUE INDEX blocked_bay_one ON blocked_bay (bay_id) WHERE gone_at IS NULL",
    """
    CREATE FUNCTION safety_log_stays() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the safety log is append-only' USING ERRCODE = 'insufficient_privilege';
    END $$
    """,
    """
    CREATE TRIGGER safety_log_append_only BEFORE UPDATE OR DELETE ON safety_log
        FOR EACH ROW EXECUTE FUNCTION safety_log_stays()
    """,
    """
    CREATE TRIGGER incident_step_append_only BEFORE UPDATE OR DELETE ON incident_step
        FOR EACH ROW EXECUTE FUNCTION safety_log_stays()
    """,
)


class RawTable(Table):
    """Only a way to the engine."""


async def forwards() -> MigrationManager:
    """Add the constraints, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="alerts", description=DESCRIPTION)

    async def add() -> None:
        for statement in STATEMENTS:
            await RawTable.raw(statement)

    manager.add_raw(add)
    return manager
