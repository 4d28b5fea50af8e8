"""Checks and unique keys of the notifications feature."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-21T23:30:00:000002"
VERSION = "1.38.0"
DESCRIPTION = "constraints"

CONSTRAINTS = """
ALTER TABLE inbox_message
    ADD CONSTRAINT inbox_message_once UNIQUE (event_key, recipient_id);
CREATE INDEX inbox_message_of_recipient ON inbox_message (recipient_id, id DESC);

ALTER TABLE delivery
    ADD CONSTRAINT delivery_once UNIQUE (event_key, recipient_id, channel),
    ADD CONSTRAINT delivery_channel CHECK (channel IN ('push', 'sms', 'voice')),
    ADD CONSTRAINT delivery_state CHECK (state IN ('pending', 'accepted', 'failed', 'unreachable')),
    ADD CONSTRAINT delivery_settled CHECK ((state = 'pending') = (settled_at IS NULL)),
    ADD CONSTRAINT delivery_attempts CHECK (attempts >= 0);
CREATE INDEX delivery_of_recipient ON delivery (recipient_id, created_at DESC);
CREATE INDEX delivery_pending ON delivery (due_at) WHERE state = 'pending';
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="notifications", description=DESCRIPTION)

    async def constrain():
        await engine_finder().current_transaction.get().connection.execute(CONSTRAINTS)

    manager.add_raw(constrain)
    return manager
