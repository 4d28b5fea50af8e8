"""SQL of the mark that tells whether anything `/slots` answers from has changed."""

from datetime import datetime
from uuid import UUID

from backend.core import db

Mark = tuple[int, int, int, int]

_MARK = """
SELECT station_mark($1), tariff_mark($1, $2, $3),
    (SELECT coalesce(bit_xor(hash_record_extended(ROW(c.id, c.xmin), 0)), 0) FROM connector_claim c
     WHERE c.station_id = $1 AND c.held_until > $2 AND c.starts_at < $4),
    (SELECT coalesce(bit_xor(hash_record_extended(ROW(o.id, o.xmin), 0)), 0) FROM connector_outage o
     WHERE o.station_id = $1 AND o.ended_at IS NULL)
"""


async def find_mark(station_id: UUID, since: datetime, priced_until: datetime, held_until: datetime) -> Mark | None:
    """Return the mark of a station's topology, tariffs, claims and outages for a period; None for no such station.

    A row's `xmin` is another one after each change of it, so equal marks of two moments mean equal rows.
    """
    row = await db.fetchrow(_MARK, station_id, since, priced_until, held_until)
    return None if row is None or row[0] is None else (row[0], row[1], row[2], row[3])


async def fix_what_is_read() -> None:
    """Let all statements of the transaction that begins here read the database as of one instant."""
    await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
