"""Constraints and indexes of telemetry, and the history partitioned by arrival day."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-21T21:22:00:000002"
VERSION = "1.38.0"
DESCRIPTION = "constraints, history"

CONSTRAINTS = """
ALTER TABLE device_message
    ADD CONSTRAINT device_message_once UNIQUE (device_id, msg_id),
    ADD CONSTRAINT device_message_channel CHECK (channel IN ('state', 'event', 'ack', 'telemetry'));
CREATE INDEX device_message_of_device ON device_message (device_id, received_at);
CREATE INDEX device_message_sealed ON device_message (received_at) WHERE sealed AND payload <> '';
CREATE INDEX device_message_unhandled ON device_message (id) WHERE handled_at IS NULL;

ALTER TABLE command
    ADD CONSTRAINT command_status CHECK (status IN ('queued', 'claimed', 'sent', 'acknowledged', 'expired')),
    ADD CONSTRAINT command_answer CHECK ((acked_at IS NULL) = (ok IS NULL));
CREATE INDEX command_waiting ON command (created_at) WHERE status IN ('queued', 'claimed');

CREATE INDEX device_state_silence ON device_state (silence_check_at) WHERE silent_since IS NULL;
ALTER TABLE device_state SET (fillfactor = 70);

ALTER TABLE connector_state
    ADD CONSTRAINT connector_state_status CHECK (status IN
        ('available', 'preparing', 'charging', 'suspended', 'finishing', 'faulted', 'unavailable', 'unknown'));
ALTER TABLE connector_state SET (fillfactor = 70);

ALTER TABLE outage
    ADD CONSTRAINT outage_subject CHECK (
        (subject = 'device' AND connector_id IS NULL) OR (subject = 'connector' AND connector_id IS NOT NULL)),
    ADD CONSTRAINT outage_order CHECK (ended_at >= started_at);
CREATE UNIQUE INDEX outage_open_device ON outage (device_id) WHERE subject = 'device' AND ended_at IS NULL;
CREATE UNIQUE INDEX outage_open_connector ON outage (connector_id) WHERE subject = 'connector' AND ended_at IS NULL;
CREATE INDEX outage_started ON outage (station_id, started_at);

ALTER TABLE connector_status_period
    ADD CONSTRAINT connector_status_period_order CHECK (ended_at >= started_at);
CREATE UNIQUE INDEX connector_status_period_open ON connector_status_period (connector_id) WHERE ended_at IS NULL;
CREATE INDEX connector_status_period_started ON connector_status_period (connector_id, started_at);
"""

HISTORY = """
CREATE TABLE telemetry_sample (
    connector_id uuid NOT NULL,
    received_on date NOT NULL,
    boot bigint NOT NULL,
    seq bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    clock_flagged boolean NOT NULL,
    status varchar(12) NOT NULL,
    meter_wh bigint NOT NULL,
    power_w integer NOT NULL,
    voltage_v double precision NOT NULL,
    current_a double precision NOT NULL,
    gun_temp_c double precision NOT NULL,
    cabinet_temp_c double precision,
    insulation_ohm_per_v double precision,
    soc_pct double precision,
    pack_v double precision,
    pack_a double precision,
    cell_v_max double precision,
    cell_v_min double precision,
    temp_max_c double precision,
    temp_min_c double precision,
    remaining_min double precision,
    flags varchar(20)[],
    UNIQUE (connector_id, received_on, boot, seq)
) PARTITION BY RANGE (received_on);
COMMENT ON TABLE telemetry_sample IS
    'Samples by arrival day (UTC). A repeat over midnight may stand twice: readers take one per (boot, seq).';
CREATE TABLE telemetry_sample_default PARTITION OF telemetry_sample DEFAULT;

-- The service's role owns no tables, so it asks this function of the owner's for the partitions of the days ahead.
CREATE FUNCTION telemetry_roll_partitions(days_ahead integer, days_kept integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    day date;
    part text;
    changed integer := 0;
BEGIN
    IF days_ahead NOT BETWEEN 0 AND 30 OR days_kept < 30 THEN
        RAISE EXCEPTION 'days_ahead must be 0 to 30 and days_kept at least 30';
    END IF;
    PERFORM pg_advisory_xact_lock(7711202612);
    FOR day IN SELECT today + n FROM generate_series(0, days_ahead) AS n LOOP
        part := 'telemetry_sample_' || to_char(day, 'YYYYMMDD');
        IF to_regclass('public.' || part) IS NULL THEN
            EXECUTE format('CREATE TABLE public.%I (LIKE public.telemetry_sample INCLUDING DEFAULTS)', part);
            EXECUTE format('WITH moved AS (DELETE FROM public.telemetry_sample_default WHERE received_on = %L'
                           ' RETURNING *) INSERT INTO public.%I SELECT * FROM moved', day, part);
            EXECUTE format('ALTER TABLE public.telemetry_sample ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                           part, day, day + 1);
            changed := changed + 1;
        END IF;
    END LOOP;
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'public.telemetry_sample'::regclass AND c.relname ~ '^telemetry_sample_[0-9]{8}$'
          AND to_date(right(c.relname, 8), 'YYYYMMDD') < today - days_kept
    LOOP
        EXECUTE format('DROP TABLE public.%I', part);
        changed := changed + 1;
    END LOOP;
    RETURN changed;
END
$$;
REVOKE ALL ON FUNCTION telemetry_roll_partitions(integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION telemetry_roll_partitions(integer, integer) TO linli_app;
SELECT telemetry_roll_partitions(3, 400);
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="telemetry", description=DESCRIPTION)

    async def constrain():
        connection = engine_finder().current_transaction.get().connection
        await connection.execute(CONSTRAINTS)
        await connection.execute(HISTORY)

    manager.add_raw(constrain)
    return manager
