from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-21T21:13:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "Exclusion, check and foreign key constraints of claims and bookings"

STATEMENTS = """
CREATE EXTENSION IF NOT EXISTS btree_gist;

ALTER TABLE connector_claim
    ADD CONSTRAINT connector_claim_kind CHECK (kind IN ('booking', 'walk_up', 'offer', 'vacate_gap', 'maintenance')),
    ADD CONSTRAINT connector_claim_period CHECK (starts_at < ends_at AND ends_at <= held_until),
    ADD CONSTRAINT connector_claim_plate CHECK (plate_hash IS NOT NULL OR kind IN ('vacate_gap', 'maintenance')),
    ADD CONSTRAINT connector_claim_connector FOREIGN KEY (connector_id) REFERENCES connector (id),
    ADD CONSTRAINT connector_claim_bay FOREIGN KEY (bay_id) REFERENCES bay (id),
    ADD CONSTRAINT connector_claim_one_holder EXCLUDE USING gist
        (connector_id WITH =, tstzrange(starts_at, held_until) WITH &&),
    ADD CONSTRAINT connector_claim_one_place EXCLUDE USING gist
        (plate_hash WITH =, tstzrange(starts_at, ends_at) WITH &&) WHERE (plate_hash IS NOT NULL),
    ADD CONSTRAINT connector_claim_one_in_bay EXCLUDE USING gist
        (bay_id WITH =, tstzrange(starts_at, held_until) WITH &&) WHERE (bay_id IS NOT NULL);
CREATE INDEX connector_claim_by_station ON connector_claim (station_id, held_until);
CREATE INDEX connector_claim_by_connector ON connector_claim (connector_id, starts_at);
CREATE INDEX connector_claim_by_reference ON connector_claim (reference_id);

ALTER TABLE reservation
    ADD CONSTRAINT reservation_status CHECK (status IN
        ('confirmed', 'checked_in', 'fulfilled', 'cancelled', 'no_show', 'relocated', 'failed')),
    ADD CONSTRAINT reservation_period CHECK (starts_at < ends_at AND starts_at <= hold_until),
    ADD CONSTRAINT reservation_power CHECK (power IN ('ac', 'dc')),
    ADD CONSTRAINT reservation_checked_in CHECK ((checked_in_at IS NULL) = (checked_in_by IS NULL)),
    ADD CONSTRAINT reservation_closed CHECK ((status IN ('confirmed', 'checked_in')) = (closed_at IS NULL)),
    ADD CONSTRAINT reservation_account FOREIGN KEY (account_id) REFERENCES account (id),
    ADD CONSTRAINT reservation_station FOREIGN KEY (station_id) REFERENCES station (id),
    ADD CONSTRAINT reservation_connector FOREIGN KEY (connector_id) REFERENCES connector (id),
    ADD CONSTRAINT reservation_bay FOREIGN KEY (bay_id) REFERENCES bay (id);
CREATE INDEX reservation_by_account ON reservation (account_id, id);
CREATE INDEX reservation_open_by_agreement ON reservation (agreement_id) WHERE status IN ('confirmed', 'checked_in');
CREATE INDEX reservation_open_by_plate ON reservation (plate_hash, station_id) WHERE status IN ('confirmed', 'checked_in');
CREATE INDEX reservation_open_by_connector ON reservation (connector_id, starts_at) WHERE status IN ('confirmed', 'checked_in');
CREATE INDEX reservation_no_shows ON reservation (account_id, closed_at) WHERE counts_as_no_show;

ALTER TABLE booking_suspension
    ADD CONSTRAINT booking_suspension_period CHECK (starts_at < ends_at),
    ADD CONSTRAINT booking_suspension_cause UNIQUE (caused_by),
    ADD CONSTRAINT booking_suspension_reservation FOREIGN KEY (caused_by) REFERENCES reservation (id);
CREATE INDEX booking_suspension_by_account ON booking_suspension (account_id, ends_at);

CREATE UNIQUE INDEX calendar_address_token ON calendar_address (token_hash);
"""


class RawTable(Table):
    """Only a way to the engine."""


async def forwards() -> MigrationManager:
    """Add the constraints, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="reservations", description=DESCRIPTION)

    async def add() -> None:
        for statement in filter(str.strip, STATEMENTS.split(";")):
            await RawTable.raw(statement)

    manager.add_raw(add)
    return manager
