"""Second person for thresholds, one shift a person, one asked action a target; a drill is no fire."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-21T23:45:00:700001"
VERSION = "1.38.0"
DESCRIPTION = "constraints of thresholds, drills, actions, duty and shared phones"

STATEMENTS = (
    """
    ALTER TABLE alert_rule_version
        ADD CONSTRAINT alert_rule_version_status CHECK (status IN ('proposed', 'approved', 'rejected', 'replaced')),
        ADD CONSTRAINT alert_rule_version_decided CHECK ((status = 'proposed') = (decided_at IS NULL)),
        ADD CONSTRAINT alert_rule_version_by CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
        ADD CONSTRAINT alert_rule_version_second_person
            CHECK (status NOT IN ('approved', 'replaced') OR decided_by <> proposed_by),
        ADD CONSTRAINT alert_rule_version_station FOREIGN KEY (station_id) REFERENCES station (id),
        ADD CONSTRAINT alert_rule_version_number UNIQUE NULLS NOT DISTINCT (operator_company_id, station_id, number)
    """,
    """
    CREATE UNIQUE INDEX alert_rule_version_in_force ON alert_rule_version (operator_company_id, station_id)
        NULLS NOT DISTINCT WHERE status = 'approved'
    """,
    """
    CREATE FUNCTION alert_rule_version_stays() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' OR (OLD.rules, OLD.reason, OLD.proposed_by, OLD.number, OLD.operator_company_id)
            IS DISTINCT FROM (NEW.rules, NEW.reason, NEW.proposed_by, NEW.number, NEW.operator_company_id) THEN
            RAISE EXCEPTION 'a version of the rules is never edited' USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER alert_rule_version_unedited BEFORE UPDATE OR DELETE ON alert_rule_version
        FOR EACH ROW EXECUTE FUNCTION alert_rule_version_stays()
    """,
    "CREATE INDEX car_limits_said_by_connector ON car_limits_said (connector_id, at)",
    "DROP INDEX incident_one_fire",
    """
    CREATE UNIQUE INDEX incident_one_fire ON incident (station_id)
        WHERE kind = 'fire' AND status IN ('open', 'acknowledged', 'on_site') AND NOT drill
    """,
    """
    CREATE UNIQUE INDEX incident_one_drill ON incident (station_id)
        WHERE status IN ('open', 'acknowledged', 'on_site') AND drill
    """,
    """
    ALTER TABLE incident_action
        ADD CONSTRAINT incident_action_kind CHECK (kind IN ('stop_session', 'lower_lock', 'cut_power')),
        ADD CONSTRAINT incident_action_status CHECK (status IN ('asked', 'seen', 'failed')),
        ADD CONSTRAINT incident_action_settled CHECK ((status = 'asked') = (settled_at IS NULL)),
        ADD CONSTRAINT incident_action_incident FOREIGN KEY (incident_id) REFERENCES incident (id),
        ADD CONSTRAINT incident_action_once UNIQUE (incident_id, kind, target_id)
    """,
    """
    ALTER TABLE duty_shift
        ADD CONSTRAINT duty_shift_role CHECK (role IN ('guard', 'lead', 'operator')),
        ADD CONSTRAINT duty_shift_order CHECK (ends_at > starts_at),
        ADD CONSTRAINT duty_shift_length CHECK (ends_at <= starts_at + interval '24 hours'),
        ADD CONSTRAINT duty_shift_station FOREIGN KEY (station_id) REFERENCES station (id),
        ADD CONSTRAINT duty_shift_one_at_a_time EXCLUDE USING gist (account_id WITH =,
            tstzrange(starts_at, greatest(starts_at, least(ends_at, coalesce(signed_off_at, ends_at)))) WITH &&)
    """,
    "CREATE INDEX duty_shift_by_company ON duty_shift (operator_company_id, starts_at)",
    """
    ALTER TABLE shared_phone
        ADD CONSTRAINT shared_phone_account UNIQUE (account_id),
        ADD CONSTRAINT shared_phone_station FOREIGN KEY (station_id) REFERENCES station (id)
    """,
    """
    CREATE UNIQUE INDEX duty_shift_one_on_phone ON duty_shift (phone_id)
        WHERE phone_id IS NOT NULL AND signed_off_at IS NULL
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
