"""One consent, one message; the channel of WeChat; quiet hours are minutes of the day."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder

ID = "2026-11-21T23:45:00:710001"
VERSION = "1.38.0"
DESCRIPTION = "constraints of consents and preferences, the channel wechat"

CONSTRAINTS = """
ALTER TABLE delivery DROP CONSTRAINT delivery_channel,
    ADD CONSTRAINT delivery_channel CHECK (channel IN ('push', 'sms', 'voice', 'wechat')),
    ADD CONSTRAINT delivery_never_wechat_for_safety CHECK (channel <> 'wechat' OR NOT safety);
ALTER TABLE wechat_consent
    ADD CONSTRAINT wechat_consent_outcome CHECK (outcome IN ('sent', 'refused', 'failed')),
    ADD CONSTRAINT wechat_consent_used CHECK (outcome IS NULL OR used_at IS NOT NULL),
    ADD CONSTRAINT wechat_consent_one_message UNIQUE (delivery_id);
CREATE INDEX wechat_consent_unused ON wechat_consent (account_id, template, granted_at) WHERE used_at IS NULL;
ALTER TABLE notification_preference
    ADD CONSTRAINT notification_preference_quiet
        CHECK (quiet_from_min BETWEEN 0 AND 1439 AND quiet_to_min BETWEEN 0 AND 1439);
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="notifications", description=DESCRIPTION)

    async def constrain():
        await engine_finder().current_transaction.get().connection.execute(CONSTRAINTS)

    manager.add_raw(constrain)
    return manager
