"""One-minute roll-ups by arrival day, what holds raw samples beyond their time, and partitions of both."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-21T23:31:00:000021"
VERSION = "1.38.0"
DESCRIPTION = "roll-ups, holds of history"

STATEMENTS = """
CREATE INDEX telemetry_sample_arrived ON telemetry_sample USING brin (received_at) WITH (pages_per_range = 32);

CREATE TABLE telemetry_minute (
    connector_id uuid NOT NULL,
    received_on date NOT NULL,
    minute timestamptz NOT NULL,
    samples integer NOT NULL,
    flagged integer NOT NULL,
    meter_min_wh bigint NOT NULL,
    meter_max_wh bigint NOT NULL,
    power_sum_w bigint NOT NULL,
    power_max_w integer NOT NULL,
    gun_temp_max_c double precision NOT NULL,
    cabinet_temp_max_c double precision,
    insulation_min_ohm_per_v double precision,
    soc_min_pct double precision,
    soc_max_pct double precision,
    cell_v_max double precision,
    temp_max_c double precision,
    temp_min_c double precision,
    PRIMARY KEY (connector_id, minute, received_on)
) PARTITION BY RANGE (received_on);
COMMENT ON TABLE telemetry_minute IS
    'Samples by minute (of their corrected time) and arrival day (UTC): what came late stands in a row of its own.';
CREATE TABLE telemetry_minute_default PARTITION OF telemetry_minute DEFAULT;

-- Up to which arrival the samples of a day are in telemetry_minute, and how many they are.
CREATE TABLE telemetry_rolled (
    received_on date PRIMARY KEY,
    rolled_to timestamptz NOT NULL,
    samples bigint NOT NULL DEFAULT 0,
    closed boolean NOT NULL DEFAULT false
);

-- Raw samples of these stations and times outlive their partition (around incidents).
CREATE TABLE telemetry_hold (
    reference_id uuid NOT NULL,
    station_id uuid NOT NULL,
    reason varchar(40) NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (reference_id, station_id),
    CONSTRAINT telemetry_hold_order CHECK (since < until)
);

CREATE OR REPLACE FUNCTION telemetry_roll_partitions(days_ahead integer, days_kept integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    day date;
    base text;
    part text;
    kept integer;
    changed integer := 0;
BEGIN
    IF days_ahead NOT BETWEEN 0 AND 30 OR days_kept < 30 THEN
        RAISE EXCEPTION 'days_ahead must be 0 to 30 and days_kept at least 30';
    END IF;
    PERFORM pg_advisory_xact_lock(7711202612);
    FOREACH base IN ARRAY ARRAY['telemetry_sample', 'telemetry_minute'] LOOP
        kept := CASE base WHEN 'telemetry_sample' THEN days_kept ELSE greatest(days_kept, 1096) END;
        FOR day IN SELECT today + n FROM generate_series(0, days_ahead) AS n LOOP
            part := base || '_' || to_char(day, 'YYYYMMDD');
            IF to_regclass('public.' || part) IS NULL THEN
                EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING DEFAULTS)', part, base);
                EXECUTE format('WITH moved AS (DELETE FROM public.%I WHERE received_on = %L RETURNING *)'
                               ' INSERT INTO public.%I SELECT * FROM moved', base || '_default', day, part);
                EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                               base, part, day, day + 1);
                changed := changed + 1;
            END IF;
        END LOOP;
        FOR part IN
            SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = ('public.' || base)::regclass AND c.relname ~ ('^' || base || '_[0-9]{8}$')
              AND to_date(right(c.relname, 8), 'YYYYMMDD') < today - kept
        LOOP
            IF base = 'telemetry_sample' THEN
                -- What is held goes to the default partition, where every reader of telemetry_sample finds it.
                EXECUTE format('ALTER TABLE public.telemetry_sample DETACH PARTITION public.%I', part);
                EXECUTE format('INSERT INTO public.telemetry_sample SELECT s.* FROM public.%I s WHERE EXISTS ('
                               ' SELECT FROM public.telemetry_hold h JOIN public.connector_state c'
                               ' ON c.station_id = h.station_id WHERE c.connector_id = s.connector_id'
                               ' AND s.occurred_at >= h.since AND s.occurred_at < h.until) ON CONFLICT DO NOTHING', part);
            END IF;
            EXECUTE format('DROP TABLE public.%I', part);
            changed := changed + 1;
        END LOOP;
    END LOOP;
    RETURN changed;
END
$$;
SELECT telemetry_roll_partitions(3, 400);
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="telemetry", description=DESCRIPTION)

    async def make():
        await engine_finder().current_transaction.get().connection.execute(STATEMENTS)

    manager.add_raw(make)
    return manager
