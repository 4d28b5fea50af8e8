from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-21T21:30:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "The cap, the sums, one open session per connector and per car"

STATEMENTS = (
    """
    ALTER TABLE charging_session
        ADD CONSTRAINT charging_session_status CHECK
            (status IN ('requested', 'starting', 'charging', 'ending', 'ended', 'failed')),
        ADD CONSTRAINT charging_session_kind CHECK (kind IN ('ac', 'dc')),
        ADD CONSTRAINT charging_session_user_class CHECK (user_class IN ('agreement', 'market')),
        ADD CONSTRAINT charging_session_agreement CHECK ((user_class = 'agreement') = (agreement_id IS NOT NULL)),
        ADD CONSTRAINT charging_session_soc CHECK (target_soc_pct IS NULL OR kind = 'dc'),
        ADD CONSTRAINT charging_session_ended CHECK ((status = 'ended') = (ended_at IS NOT NULL)),
        ADD CONSTRAINT charging_session_account FOREIGN KEY (account_id) REFERENCES account (id),
        ADD CONSTRAINT charging_session_station FOREIGN KEY (station_id) REFERENCES station (id),
        ADD CONSTRAINT charging_session_connector FOREIGN KEY (connector_id) REFERENCES connector (id)
    """,
    """
    CREATE UNIQUE INDEX charging_session_one_per_connector ON charging_session (connector_id)
        WHERE status IN ('requested', 'starting', 'charging', 'ending')
    """,
    """
    CREATE UNIQUE INDEX charging_session_one_per_car ON charging_session (plate_hash)
        WHERE status IN ('requested', 'starting', 'charging', 'ending')
    """,
    """
    CREATE INDEX charging_session_open_by_station ON charging_session (station_id)
        WHERE status IN ('requested', 'starting', 'charging', 'ending')
    """,
    "CREATE INDEX charging_session_by_account ON charging_session (account_id, id)",
    "CREATE INDEX charging_session_by_connector ON charging_session (connector_id, id)",
    """
    ALTER TABLE charge_order
        ADD CONSTRAINT charge_order_status CHECK (status IN ('open', 'review', 'unpaid', 'paid', 'free')),
        ADD CONSTRAINT charge_order_user_class CHECK (user_class IN ('agreement', 'market')),
        ADD CONSTRAINT charge_order_cap CHECK
            (user_class <> 'agreement' OR service_fee_fen <= energy_wh * 5000 / 100000),
        ADD CONSTRAINT charge_order_amounts CHECK
            (energy_wh >= 0 AND energy_fee_fen >= 0 AND service_fee_fen >= 0 AND overstay_fee_fen >= 0
             AND parking_fee_fen >= 0 AND discount_fen >= 0 AND total_fen >= 0),
        ADD CONSTRAINT charge_order_total CHECK
            (total_fen = energy_fee_fen + service_fee_fen + overstay_fee_fen + parking_fee_fen - discount_fen),
        ADD CONSTRAINT charge_order_closed CHECK ((status IN ('open', 'review')) = (closed_at IS NULL)),
        ADD CONSTRAINT charge_order_paid CHECK ((status = 'paid') = (paid_at IS NOT NULL)),
        ADD CONSTRAINT charge_order_free CHECK (status <> 'free' OR total_fen = 0),
        ADD CONSTRAINT charge_order_session FOREIGN KEY (session_id) REFERENCES charging_session (id)
    """,
    "CREATE INDEX charge_order_by_account ON charge_order (account_id, id)",
    "CREATE INDEX charge_order_by_company ON charge_order (operator_company_id, id)",
    "CREATE INDEX charge_order_unpaid ON charge_order (account_id) WHERE status = 'unpaid'",
    """
    ALTER TABLE charge_order_line
        ADD CONSTRAINT charge_order_line_order FOREIGN KEY (order_id) REFERENCES charge_order (id),
        ADD CONSTRAINT charge_order_line_position UNIQUE (order_id, position),
        ADD CONSTRAINT charge_order_line_band CHECK (band IN ('sharp', 'peak', 'flat', 'valley')),
        ADD CONSTRAINT charge_order_line_energy_fee CHECK (energy_fee_fen = (energy_wh * energy_e4 + 50000) / 100000),
        ADD CONSTRAINT charge_order_line_service_fee CHECK
            (energy_wh > 0 AND service_fee_fen BETWEEN 0 AND (energy_wh * service_e4 + 50000) / 100000)
    """,
    """
    CREATE FUNCTION charge_order_lines_add_up() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        wanted uuid;
        bad boolean;
    BEGIN
        IF TG_TABLE_NAME = 'charge_order' THEN
            wanted := NEW.id;
        ELSIF TG_OP = 'DELETE' THEN
            wanted := OLD.order_id;
        ELSE
            wanted := NEW.order_id;
        END IF;
        SELECT o.energy_wh <> coalesce(sum(l.energy_wh), 0) OR o.energy_fee_fen <> coalesce(sum(l.energy_fee_fen), 0)
               OR o.service_fee_fen <> coalesce(sum(l.service_fee_fen), 0)
          INTO bad
          FROM charge_order o LEFT JOIN charge_order_line l ON l.order_id = o.id
         WHERE o.id = wanted GROUP BY o.id;
        IF bad THEN
            RAISE EXCEPTION 'the lines of order % do not add up to it', wanted USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER charge_order_sum AFTER INSERT OR UPDATE ON charge_order
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION charge_order_lines_add_up()
    """,
    """
    CREATE CONSTRAINT TRIGGER charge_order_line_sum AFTER INSERT OR UPDATE OR DELETE ON charge_order_line
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION charge_order_lines_add_up()
    """,
    """
    ALTER TABLE overstay_look
        ADD CONSTRAINT overstay_look_once UNIQUE (session_id, at),
        ADD CONSTRAINT overstay_look_session FOREIGN KEY (session_id) REFERENCES charging_session (id)
    """,
    """
    ALTER TABLE order_dispute
        ADD CONSTRAINT order_dispute_status CHECK (status IN ('open', 'answered')),
        ADD CONSTRAINT order_dispute_order FOREIGN KEY (order_id) REFERENCES charge_order (id)
    """,
    "CREATE UNIQUE INDEX order_dispute_one_open ON order_dispute (order_id) WHERE status = 'open'",
)


class RawTable(Table):
    """Only a way to the engine."""


async def forwards() -> MigrationManager:
    """Add the constraints, forwards only."""
    manager = MigrationManager(migration_id=ID, app_name="charging", description=DESCRIPTION)

    async def add() -> None:
        for statement in STATEMENTS:
            await RawTable.raw(statement)

    manager.add_raw(add)
    return manager
