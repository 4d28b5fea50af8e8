"""What is known of every bay and its ground lock, its history, and the log of the locks (safety log).

Constraints and the append-only grants are in the migration.
"""

from piccolo.columns import JSONB, UUID, Boolean, Bytea, DoublePrecision, Integer, Text, Timestamptz, Varchar
from piccolo.table import Table

from backend.core.ids import new_id


class BayState(Table, tablename="bay_state"):
    """A bay now: occupied, free or unknown from lock and camera, and where its lock stands in the choreography.

    The `lock_*` columns are the state machine of `rules/locks.py`; the row is locked while it takes a step.
    """

    id = UUID(primary_key=True, default=new_id)
    bay_id = UUID(default=None, unique=True)
    station_id = UUID(default=None, index=True)
    state = Varchar(length=10, default="unknown")
    since = Timestamptz(default=None)
    plate_hash = Bytea(null=True, default=None)
    plate_cipher = Bytea(null=True, default=None)
    energy_type = Varchar(length=10, default="unknown")
    confidence = DoublePrecision(default=0.0)
    image_ref = Text(null=True, default=None)
    camera_car = Boolean(null=True, default=None)
    camera_heard_at = Timestamptz(null=True, default=None)
    lock_position = Varchar(length=10, default="unknown")
    lock_car = Boolean(null=True, default=None)
    lock_online = Boolean(default=False)
    lock_heard_at = Timestamptz(null=True, default=None)
    lock_empty_since = Timestamptz(null=True, default=None)
    lock_target = Varchar(length=4, null=True, default=None)
    lock_command_id = UUID(null=True, default=None)
    lock_attempts = Integer(default=0)
    lock_raise_due_at = Timestamptz(null=True, default=None)
    lock_keep_down_until = Timestamptz(null=True, default=None)
    updated_at = Timestamptz(default=None)


class BayStateChange(Table, tablename="bay_state_change"):
    """One change of a bay between occupied, free and unknown; plates and pictures are forgotten after 30 days."""

    id = UUID(primary_key=True, default=new_id)
    bay_id = UUID(default=None)
    station_id = UUID(default=None)
    state = Varchar(length=10)
    previous = Varchar(length=10)
    source = Varchar(length=10)
    plate_hash = Bytea(null=True, default=None)
    plate_cipher = Bytea(null=True, default=None)
    energy_type = Varchar(length=10, default="unknown")
    confidence = DoublePrecision(default=0.0)
    image_ref = Text(null=True, default=None)
    occurred_at = Timestamptz(default=None)
    recorded_at = Timestamptz(default=None)


class LockLog(Table, tablename="lock_log"):
    """Why a lock was moved or not: each command, answer, refusal and blocked raise with what was known then; append
    only.
    """

    id = UUID(primary_key=True, default=new_id)
    bay_id = UUID(default=None)
    station_id = UUID(default=None)
    entry = Varchar(length=20)
    actor = Varchar(length=60)
    reason = Varchar(length=120)
    known = JSONB(default="{}")
    recorded_at = Timestamptz(default=None)
