"""What the ingest lanes carry now, against what they can hold: for `linli doctor`."""

import msgspec

from backend.core import db

DEVICE_BUFFER = 200
"""Messages a device keeps while it has no broker (mqtt.md)."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """The fleet's rate by its report intervals, what is missing or was refused, and how far ingest is."""

    devices: int
    rate: float
    telemetry_rate: float
    lost_by_seq: int
    refused: int
    waiting_letters: int
    unhandled_safety: int


async def current_load() -> Load:
    """Read it: rate of messages a second from the registry, loss by gaps in `seq`, refused messages ever."""
    row = await db.fetchrow(
        """
        SELECT (SELECT count(*) FROM bridge_device) AS devices,
            (SELECT coalesce(sum(1.0 / n.report_interval_s), 0)::float8 FROM device_now n
                JOIN bridge_device b ON b.device_id = n.id) AS rate,
            (SELECT coalesce(sum(1.0 / n.report_interval_s), 0)::float8 FROM device_now n
                JOIN connector c ON c.charger_id = n.charger_id
                JOIN bridge_device b ON b.device_id = n.id) AS telemetry_rate,
            (SELECT coalesce(sum(greatest(0, lost_before + seq - boot_first_seq + 1 - boot_received)), 0)::bigint
                FROM device_state WHERE boot >= 0) AS lost_by_seq,
            (SELECT coalesce(sum(total), 0)::bigint FROM dead_letter_count) AS refused,
            (SELECT count(*) FROM dead_letter WHERE replay_outcome IS DISTINCT FROM 'stored') AS waiting_letters,
            (SELECT count(*) FROM device_message WHERE handled_at IS NULL) AS unhandled_safety
        """
    )
    assert row is not None
    return Load(**dict(row))
