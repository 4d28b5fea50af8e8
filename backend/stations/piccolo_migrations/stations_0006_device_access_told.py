"""Access of devices is told: NOTIFY device_access at each change, for bridges and whoever keeps the broker's files.

`bridge_device`, the bridge's contract, leaves revoked devices out; `bridge_device_revoked` names them, so that the
bridge can say why it refuses.
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-21T23:31:00:000006"
VERSION = "1.38.0"
DESCRIPTION = "device access is told"

STATEMENTS = """
UPDATE device SET credentials_issued_at = created_at;
ALTER TABLE device
    ADD CONSTRAINT device_credentials_count CHECK (credentials_count >= 1),
    ADD CONSTRAINT device_revoked_reason CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL));

CREATE OR REPLACE VIEW bridge_device AS
SELECT n.code, n.kind, n.station_code, n.id AS device_id, n.station_id
FROM device_now n JOIN device d ON d.id = n.id WHERE n.active AND d.revoked_at IS NULL;

CREATE VIEW bridge_device_revoked AS SELECT code FROM device WHERE active AND revoked_at IS NOT NULL;

-- Bridges and whoever keeps the broker's files listen: what a device may do has changed.
CREATE FUNCTION tell_device_access() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('device_access', COALESCE(NEW.code, OLD.code));
    RETURN NULL;
END $$;
CREATE TRIGGER device_access_new_told AFTER INSERT OR DELETE ON device
    FOR EACH ROW EXECUTE FUNCTION tell_device_access();
CREATE TRIGGER device_access_told AFTER UPDATE ON device
    FOR EACH ROW WHEN ((OLD.active, OLD.password_hash, OLD.revoked_at, OLD.station_id)
        IS DISTINCT FROM (NEW.active, NEW.password_hash, NEW.revoked_at, NEW.station_id))
    EXECUTE FUNCTION tell_device_access();
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="stations", description=DESCRIPTION)

    async def change():
        await engine_finder().current_transaction.get().connection.execute(STATEMENTS)

    manager.add_raw(change)
    return manager
