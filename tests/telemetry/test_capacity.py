"""The stated capacity: what is held at a rate, read from registry and stores, and what was beyond it."""

from datetime import datetime

import pytest

from backend.cli.doctor_ingest import describe
from backend.telemetry.load import Load, current_load
from backend.telemetry.rules.capacity import capacity
from tests.factories.stations import add_demo_station
from tests.factories.telemetry import measure

LOAD = Load(devices=9, rate=1.0, telemetry_rate=1.0, lost_by_seq=0, refused=0, waiting_letters=0, unhandled_safety=0)


class TestCapacity:
    @pytest.mark.parametrize(
        ("rate", "broker_hours", "stream_messages"),
        [(100, 894_784 / 100 / 3600, 800_000), (2_000, 894_784 / 2_000 / 3600, 800_000), (32_000, None, 16_000_000)],
    )
    def test_ends_at_the_bytes_or_the_count_whichever_comes_first(
        self, rate: float, broker_hours: float | None, stream_messages: int
    ) -> None:
        held = capacity(
            max_queued_messages=1_000_000,
            max_queued_bytes=512 * 1024 * 1024,
            stream_entries=50_000,
            valkey_bytes=None,
            message_bytes=600,
            rate=rate,
        )
        assert held.broker_messages == 894_784
        assert held.stream_messages == stream_messages
        if broker_hours is not None:
            assert held.broker_hours(rate) == pytest.approx(broker_hours)

    def test_ends_with_valkeys_memory(self) -> None:
        held = capacity(
            max_queued_messages=1,
            max_queued_bytes=600,
            stream_entries=50_000,
            valkey_bytes=7_500_000,
            message_bytes=600,
            rate=1,
        )
        assert (held.broker_messages, held.stream_messages) == (1, 10_000)


class TestDescribe:
    def test_states_rates_times_hours_and_what_was_beyond(self) -> None:
        text, wrong = describe(LOAD, fullest=3, entries=5, valkey_bytes=None, broker_dropped=0)
        assert "2.0 messages/s" in text
        assert "at 2000 messages/s: 7 min without bridges, 7 min without ingest" in text
        assert wrong == []
        text, wrong = describe(LOAD, fullest=26_000, entries=26_000, valkey_bytes=None, broker_dropped=12)
        assert "12 dropped by the broker" in text
        assert len(wrong) == 2

    async def test_is_read_from_the_registry_and_the_devices_own_counts(self, database: object, now: datetime) -> None:
        demo = await add_demo_station()
        before = await current_load()
        for seq in (0, 1, 5):
            await measure(demo.ac.charger, now=now, boot=1, seq=seq)
        after = await current_load()
        assert (after.devices, after.lost_by_seq - before.lost_by_seq) == (9, 3)
        assert after.rate == pytest.approx(3 / 15 + 6 / 60)
        assert after.telemetry_rate == pytest.approx(3 / 15)
