"""Tables of this feature. CHECK and UNIQUE constraints are raw SQL in the migrations."""

from piccolo.columns import JSONB, UUID, Boolean, Integer, Text, Timestamptz, Varchar
from piccolo.table import Table

from backend.core.ids import new_id


class InboxMessage(Table, tablename="inbox_message"):
    """What a person reads in the app; the text is rendered when read, in the language of the moment."""

    id = UUID(primary_key=True, default=new_id)
    recipient_id = UUID(default=None)
    event_key = Varchar(length=200)
    template = Varchar(length=80)
    params = JSONB()
    safety = Boolean(default=False)
    created_at = Timestamptz()
    read_at = Timestamptz(null=True, default=None)


class WeChatConsent(Table, tablename="wechat_consent"):
    """The ledger of consents: each is good for one message of one template."""

    id = UUID(primary_key=True, default=new_id)
    account_id = UUID(default=None)
    template = Varchar(length=80)
    granted_at = Timestamptz()
    used_at = Timestamptz(null=True, default=None)
    delivery_id = UUID(null=True, default=None)
    outcome = Varchar(length=10, null=True, default=None, help_text="sent | refused | failed")


class NotificationPreference(Table, tablename="notification_preference"):
    """What a person wants beside the inbox; safety messages ignore it."""

    account_id = UUID(primary_key=True, default=None)
    push = Boolean(default=True)
    wechat = Boolean(default=True)
    quiet_from_min = Integer(default=1380, help_text="minute of the day, Asia/Shanghai")
    quiet_to_min = Integer(default=420)
    updated_at = Timestamptz()


class Delivery(Table, tablename="delivery"):
    """One message on one channel; unique per (event_key, recipient, channel)."""

    id = UUID(primary_key=True, default=new_id)
    event_key = Varchar(length=200)
    recipient_id = UUID(default=None)
    channel = Varchar(length=10)
    template = Varchar(length=80)
    params = JSONB()
    safety = Boolean(default=False)
    chain = Varchar(length=40, default="", help_text="channels that follow each other, comma-separated")
    state = Varchar(length=12, default="pending")
    attempts = Integer(default=0)
    created_at = Timestamptz(index=True)
    due_at = Timestamptz(help_text="when the next try is due while pending")
    settled_at = Timestamptz(null=True, default=None)
    provider_id = Varchar(length=120, null=True, default=None)
    provider_answer = Text(null=True, default=None, help_text="the provider's last word, without personal data")
