"""Foreign keys, checks, exclusions and the views `*_now` of the stations feature."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-21T21:20:00:000002"
VERSION = "1.38.0"
DESCRIPTION = "constraints and views"

CONSTRAINTS = """
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE EXTENSION IF NOT EXISTS pg_trgm;

ALTER TABLE community
    ADD CONSTRAINT community_name_in_district UNIQUE (name, district),
    ADD CONSTRAINT community_on_earth CHECK (lat BETWEEN -90 AND 90 AND lng BETWEEN -180 AND 180);
CREATE INDEX community_name_trgm ON community USING gin (name gin_trgm_ops);

ALTER TABLE home
    ADD CONSTRAINT home_community FOREIGN KEY (community_id) REFERENCES community (id);

ALTER TABLE station
    ADD CONSTRAINT station_code_shape CHECK (code ~ '^[A-Za-z0-9_-]{1,64}$'),
    ADD CONSTRAINT station_on_earth CHECK (lat BETWEEN -90 AND 90 AND lng BETWEEN -180 AND 180),
    ADD CONSTRAINT station_construction CHECK (construction IN ('new', 'extended')),
    ADD CONSTRAINT station_supply_class
        CHECK (supply_class IN ('residential', 'below_1kv', '1_10kv_single', '1_10kv_two_part', 'resold')),
    ADD CONSTRAINT station_transformer_limit CHECK (transformer_limit_w > 0);

ALTER TABLE charger
    ADD CONSTRAINT charger_station FOREIGN KEY (station_id) REFERENCES station (id),
    ADD CONSTRAINT charger_at_station UNIQUE (id, station_id),
    ADD CONSTRAINT charger_code_shape CHECK (code ~ '^[A-Za-z0-9_-]{1,64}$'),
    ADD CONSTRAINT charger_kind CHECK (kind IN ('ac', 'dc')),
    ADD CONSTRAINT charger_power CHECK (max_power_w > 0);

ALTER TABLE connector
    ADD CONSTRAINT connector_charger FOREIGN KEY (charger_id, station_id) REFERENCES charger (id, station_id),
    ADD CONSTRAINT connector_number_at_charger UNIQUE (charger_id, number),
    ADD CONSTRAINT connector_number CHECK (number >= 1),
    ADD CONSTRAINT connector_qr_shape CHECK (qr ~ '^[A-Za-z0-9_-]{1,64}$'),
    ADD CONSTRAINT connector_power CHECK (max_power_w > 0);

ALTER TABLE bay
    ADD CONSTRAINT bay_station FOREIGN KEY (station_id) REFERENCES station (id),
    ADD CONSTRAINT bay_code_at_station UNIQUE (station_id, code),
    ADD CONSTRAINT bay_code_shape CHECK (code ~ '^[A-Za-z0-9_-]{1,64}$');

ALTER TABLE bay_zone
    ADD CONSTRAINT bay_zone_bay FOREIGN KEY (bay_id) REFERENCES bay (id),
    ADD CONSTRAINT bay_zone_zone CHECK (zone IN ('resident', 'public')),
    ADD CONSTRAINT bay_zone_order CHECK (valid_from < valid_to),
    ADD CONSTRAINT bay_zone_one_at_a_time
        EXCLUDE USING gist (bay_id WITH =, tstzrange(valid_from, valid_to) WITH &&);

ALTER TABLE bay_connector
    ADD CONSTRAINT bay_connector_bay FOREIGN KEY (bay_id) REFERENCES bay (id),
    ADD CONSTRAINT bay_connector_connector FOREIGN KEY (connector_id) REFERENCES connector (id),
    ADD CONSTRAINT bay_connector_order CHECK (valid_from < valid_to),
    ADD CONSTRAINT bay_connector_once_at_a_time
        EXCLUDE USING gist (bay_id WITH =, connector_id WITH =, tstzrange(valid_from, valid_to) WITH &&);

ALTER TABLE device
    ADD CONSTRAINT device_station FOREIGN KEY (station_id) REFERENCES station (id),
    ADD CONSTRAINT device_charger FOREIGN KEY (charger_id, station_id) REFERENCES charger (id, station_id),
    ADD CONSTRAINT device_bay FOREIGN KEY (bay_id) REFERENCES bay (id),
    ADD CONSTRAINT device_code_shape CHECK (code ~ '^[A-Za-z0-9_-]{1,64}$'),
    ADD CONSTRAINT device_kind CHECK (kind IN ('charger', 'lock', 'camera', 'smoke')),
    ADD CONSTRAINT device_mapping CHECK (
        (kind = 'charger') = (charger_id IS NOT NULL)
        AND (kind = 'lock') = (bay_id IS NOT NULL)
        AND (kind = 'camera') = (role IS NOT NULL)
        AND (area IS NULL OR kind = 'smoke')
        AND (lane IS NULL OR role = 'approach')),
    ADD CONSTRAINT device_role CHECK (role IN ('approach', 'bay')),
    ADD CONSTRAINT device_interval CHECK (report_interval_s BETWEEN 1 AND 604800),
    ADD CONSTRAINT device_password CHECK (password_hash LIKE '$7$%');
CREATE UNIQUE INDEX device_one_per_charger ON device (charger_id) WHERE active AND kind = 'charger';
CREATE UNIQUE INDEX device_one_lock_per_bay ON device (bay_id) WHERE active AND kind = 'lock';

ALTER TABLE device_bay
    ADD CONSTRAINT device_bay_device FOREIGN KEY (device_id) REFERENCES device (id),
    ADD CONSTRAINT device_bay_bay FOREIGN KEY (bay_id) REFERENCES bay (id),
    ADD CONSTRAINT device_bay_once UNIQUE (device_id, bay_id);

ALTER TABLE safety_hold
    ADD CONSTRAINT safety_hold_station FOREIGN KEY (station_id) REFERENCES station (id),
    ADD CONSTRAINT safety_hold_once_per_incident UNIQUE (station_id, incident_id),
    ADD CONSTRAINT safety_hold_order CHECK (lifted_at >= set_at);
CREATE INDEX safety_hold_in_force ON safety_hold (station_id) WHERE lifted_at IS NULL;
"""

VIEWS = """
CREATE VIEW station_now AS
SELECT s.id, s.code, s.name, s.operator_company_id, s.pilot, s.lat, s.lng, s.address, s.has_devices, s.settings,
       EXISTS (SELECT FROM safety_hold h WHERE h.station_id = s.id AND h.lifted_at IS NULL) AS safety_hold,
       s.supply_class, s.opening_hours, s.parking
FROM station s;

CREATE VIEW bay_zone_now AS
SELECT bay_id, zone FROM bay_zone WHERE tstzrange(valid_from, valid_to) @> now();

CREATE VIEW bay_connector_now AS
SELECT bc.bay_id, bc.connector_id FROM bay_connector bc JOIN bay b ON b.id = bc.bay_id
WHERE b.active AND tstzrange(bc.valid_from, bc.valid_to) @> now();

CREATE VIEW connector_now AS
SELECT c.id, c.station_id, c.charger_id, p.code AS charger_code, c.number, c.qr, p.kind, c.max_power_w,
       CASE WHEN reach.resident THEN 'resident' ELSE 'public' END AS zone,
       COALESCE(reach.bay_ids, '{}') AS bay_ids, c.in_service AND p.active AS in_service, p.area
FROM connector c
JOIN charger p ON p.id = c.charger_id
LEFT JOIN LATERAL (
    SELECT array_agg(b.id ORDER BY b.code) AS bay_ids, bool_and(COALESCE(z.zone = 'resident', false)) AS resident
    FROM bay_connector_now bc JOIN bay b ON b.id = bc.bay_id LEFT JOIN bay_zone_now z ON z.bay_id = b.id
    WHERE bc.connector_id = c.id
) reach ON true;

CREATE VIEW bay_now AS
SELECT b.id, b.station_id, b.code, COALESCE(z.zone, 'public') AS zone,
       ARRAY(SELECT c.id FROM bay_connector_now bc JOIN connector c ON c.id = bc.connector_id
             JOIN charger p ON p.id = c.charger_id WHERE bc.bay_id = b.id ORDER BY p.code, c.number) AS connector_ids,
       l.id AS lock_device_id, l.code AS lock_code, b.area
FROM bay b
LEFT JOIN bay_zone_now z ON z.bay_id = b.id
LEFT JOIN device l ON l.bay_id = b.id AND l.kind = 'lock' AND l.active
WHERE b.active;

CREATE VIEW device_now AS
SELECT d.id, d.code, d.kind, d.station_id, s.code AS station_code, d.report_interval_s, d.charger_id, d.bay_id, d.role,
       d.area, d.lane, d.active
FROM device d JOIN station s ON s.id = d.station_id;

-- What the MQTT bridge checks topics against; it imports nothing of backend, so this view is its contract.
CREATE VIEW bridge_device AS
SELECT code, kind, station_code, id AS device_id, station_id FROM device_now WHERE active;
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="stations", description=DESCRIPTION)

    async def constrain():
        connection = engine_finder().current_transaction.get().connection
        await connection.execute(CONSTRAINTS)
        await connection.execute(VIEWS)

    manager.add_raw(constrain)
    return manager
