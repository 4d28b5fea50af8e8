"""Payloads of the contract, and how everything else is refused."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_bridge import messages
from mqtt_bridge.messages import ChargerTelemetry, LastWill, Refused, StreamItem
from tests.factories.telemetry import BMS, BODIES

HEADER: dict[str, Any] = {"msg_id": "m1", "boot": 1, "seq": 2, "ts": "2026-06-10T10:00:00+08:00"}


def body(kind: str, channel: str, **fields: Any) -> bytes:
    return msgspec.json.encode({**HEADER, **BODIES[kind, channel], **fields})


def refused(kind: str, channel: str, payload: bytes) -> Refused:
    with pytest.raises(Refused) as info:
        messages.parse(kind, channel, payload)
    return info.value


class TestParse:
    @pytest.mark.parametrize(("kind", "channel"), sorted(BODIES))
    def test_takes_every_channel_and_ignores_what_it_does_not_know(self, kind: str, channel: str) -> None:
        plain = messages.parse(kind, channel, body(kind, channel))
        assert messages.parse(kind, channel, body(kind, channel, colour="red", nested={"a": [1, None]})) == plain

    @pytest.mark.parametrize("kind", ["charger", "lock", "camera", "smoke"])
    def test_takes_an_answer_from_every_kind(self, kind: str) -> None:
        payload = msgspec.json.encode({**HEADER, "cmd_id": "c", "ok": False, "error": "expired"})
        assert messages.parse(kind, "ack", payload) == messages.Ack(**HEADER, cmd_id="c", ok=False, error="expired")

    def test_takes_values_that_a_sensor_cannot_mean(self) -> None:
        hot = messages.parse("charger", "telemetry", body("charger", "telemetry", bms={**BMS, "temp_max_c": 999}))
        assert isinstance(hot, ChargerTelemetry)
        assert hot.bms is not None
        assert hot.bms.temp_max_c == 999

    @pytest.mark.parametrize("payload", [b'{"online": false}', b'{"online":false,"x":1}'])
    def test_takes_a_last_will_without_a_header(self, payload: bytes) -> None:
        assert messages.parse("lock", "state", payload) == LastWill(online=False)

    @pytest.mark.parametrize("payload", [b'{"online": true}', b'{"online": false, "seq": 3}', b"{}"])
    def test_takes_nothing_else_for_a_last_will(self, payload: bytes) -> None:
        assert refused("lock", "state", payload).cause == "missing_field"

    @pytest.mark.parametrize("ts", [None, 12, "yesterday", [1], {"a": 1}])
    def test_never_refuses_for_its_ts(self, ts: Any) -> None:
        message = messages.parse("smoke", "event", body("smoke", "event", ts=ts))
        assert not isinstance(message, LastWill)
        assert messages.read_ts(message.ts) is None

    @pytest.mark.parametrize(
        ("payload", "cause"),
        [
            (b" " * 16_385, "oversized"),
            (b"", "empty"),
            (b" \n", "empty"),
            (b"{", "not_json"),
            (b"\xef\xbb\xbf{}", "not_json"),
            (b"{'a': 1}", "not_json"),
            (body("charger", "telemetry") + b"x", "not_json"),
            (b'{"a": "\\ud800"}', "not_json"),
            (b'{"a": "\xff"}', "not_utf8"),
            (b'{"a": NaN}', "not_a_number"),
            (b'{"a": [-Infinity]}', "not_a_number"),
            (body("charger", "telemetry").replace(b"220.0", b"1e999"), "not_a_number"),
            (b'{"a":' * 17 + b"1" + b"}" * 17, "too_deep"),
            (b"[" * 16_000, "too_deep"),
            (b'{"a": "\\u0000"}', "nul_character"),
            (b"{}", "missing_field"),
            (b"[]", "wrong_type"),
            (b"null", "wrong_type"),
            (body("charger", "telemetry", power_w="7000"), "wrong_type"),
            (body("charger", "telemetry", power_w=7000.5), "wrong_type"),
            (body("charger", "telemetry", meter_wh=None), "wrong_type"),
            (body("charger", "telemetry", boot=True), "wrong_type"),
            (body("charger", "telemetry", bms={}), "missing_field"),
            (body("charger", "telemetry", status="asleep"), "bad_value"),
            (body("charger", "telemetry", connector=0), "bad_value"),
            (body("charger", "telemetry", meter_wh=-1), "bad_value"),
            (body("charger", "telemetry", meter_wh=2**60), "bad_value"),
            (body("charger", "telemetry", msg_id=""), "bad_value"),
            (body("charger", "telemetry", bms={**BMS, "flags": ["hungry"]}), "bad_value"),
        ],
    )
    def test_refuses_with_a_cause_of_its_own(self, payload: bytes, cause: str) -> None:
        assert refused("charger", "telemetry", payload).cause == cause

    def test_lets_an_escaped_backslash_before_u0000_pass(self) -> None:
        messages.parse("smoke", "event", body("smoke", "event", note="\\u0000"))

    def test_counts_only_brackets_outside_texts_for_depth(self) -> None:
        messages.parse("smoke", "event", body("smoke", "event", note='[{"' * 100))

    def test_never_repeats_a_value_in_its_refusal(self) -> None:
        error = refused("camera", "event", body("camera", "event", energy_type="京A12345"))
        assert "12345" not in str(error)

    @given(payload=st.binary(max_size=400) | st.text().map(str.encode), key=st.sampled_from(sorted(BODIES)))
    def test_refuses_rubbish_and_raises_nothing_else(self, payload: bytes, key: tuple[str, str]) -> None:
        with pytest.raises(Refused):
            messages.parse(*key, payload)


class TestReadTs:
    @given(st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 2), max_value=datetime(2099, 1, 1)))  # noqa: DTZ001
    def test_reads_what_format_ts_wrote_to_the_millisecond(self, moment: datetime) -> None:
        read = messages.read_ts(messages.format_ts(moment))
        assert read is not None
        assert timedelta(0) <= moment - read < timedelta(milliseconds=1)

    def test_reads_every_offset(self) -> None:
        eight = datetime(2026, 6, 10, 10, tzinfo=timezone(timedelta(hours=8)))
        assert messages.read_ts("2026-06-10T10:00:00+08:00") == messages.read_ts("2026-06-10T02:00:00Z") == eight

    @pytest.mark.parametrize("ts", ["2026-06-10T10:00:00", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00", ""])
    def test_reads_nothing_without_an_offset_or_such_a_day(self, ts: str) -> None:
        assert messages.read_ts(ts) is None


class TestPackItems:
    def test_is_undone_by_unpack_items(self) -> None:
        items = [StreamItem(bytes(16), "telemetry", 1, b"{}"), StreamItem(bytes(16), "state", 2**53, b"")]
        assert messages.unpack_items(messages.pack_items(items)) == items
