"""The partitions of the history."""

from backend.core import db


class TestRollPartitions:
    async def test_has_a_partition_for_today_and_the_days_ahead(self, database: object) -> None:
        made = await db.fetchval("SELECT telemetry_roll_partitions(5, 400)")
        assert made >= 2
        assert await db.fetchval("SELECT telemetry_roll_partitions(5, 400)") == 0
