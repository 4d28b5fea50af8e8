"""The names of topics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_bridge import topics
from mqtt_bridge.topics import TopicRefused

IDS = st.text("ABCabc019_-", min_size=1, max_size=64)


class TestParse:
    @given(station=IDS, device=IDS, kind=st.sampled_from(sorted(topics.KINDS)))
    def test_reads_what_make_made(self, station: str, device: str, kind: str) -> None:
        for channel in topics.SAFETY_CHANNELS:
            topic = topics.make(station=station, kind=kind, device=device, channel=channel)
            assert topics.parse(topic) == (station, kind, device, channel)

    @pytest.mark.parametrize(
        ("topic", "cause"),
        [
            ("", "bad_topic"),
            ("ev/v2/S/charger/C/state", "bad_topic"),
            ("ev/v1/S/charger/C/state/more", "bad_topic"),
            ("ev/v1/S/charger/C", "bad_topic"),
            ("ev/v1/+/charger/C/state", "bad_id"),
            ("ev/v1/S/charger/#/state", "bad_id"),
            ("ev/v1/S/charger//state", "bad_id"),
            ("ev/v1/S/charger/" + "x" * 65 + "/state", "bad_id"),
            ("ev/v1/S/charger/C\n/state", "bad_id"),
            ("ev/v1/站/charger/C/state", "bad_id"),
            ("ev/v1/S/toaster/C/state", "unknown_kind"),
            ("ev/v1/S/charger/C/secret", "unknown_channel"),
            ("ev/v1/S/lock/L/telemetry", "unknown_channel"),
        ],
    )
    def test_refuses_with_a_cause(self, topic: str, cause: str) -> None:
        with pytest.raises(TopicRefused) as refused:
            topics.parse(topic)
        assert refused.value.cause == cause


class TestShardOf:
    def test_never_moves_a_station(self) -> None:
        assert [topics.shard_of(station) for station in ("S1", "BJ-0001", "demo")] == [2, 9, 0]

    @given(station=IDS)
    def test_is_one_of_sixteen(self, station: str) -> None:
        assert 0 <= topics.shard_of(station) < 16
