"""Which samples take the safety lane."""

from typing import Any

import msgspec
import pytest

from mqtt_bridge.messages import BmsLimits, ChargerTelemetry
from mqtt_bridge.screen import DEFAULTS, is_critical
from tests.factories.telemetry import BMS, BODIES


def sample(*, bms: dict[str, Any] | None = None, **fields: Any) -> ChargerTelemetry:
    values = {"msg_id": "m", "boot": 1, "seq": 1, **BODIES["charger", "telemetry"], **fields}
    return msgspec.convert({**values, "bms": None if bms is None else {**BMS, **bms}}, ChargerTelemetry)


LIMITS = BmsLimits(
    chemistry="lfp", cell_v_limit=3.7, pack_v_limit=400, temp_limit_c=55, current_limit_a=200, capacity_wh=60_000
)


class TestIsCritical:
    @pytest.mark.parametrize(
        ("fields", "critical"),
        [
            ({}, False),
            ({"gun_temp_c": 99.9}, False),
            ({"gun_temp_c": 100}, True),
            ({"cabinet_temp_c": 85}, True),
            ({"insulation_ohm_per_v": 100}, True),
            ({"insulation_ohm_per_v": 101}, False),
            ({"bms": {}}, False),
            ({"bms": {"temp_max_c": 69, "temp_min_c": 60}}, False),
            ({"bms": {"temp_max_c": 70, "temp_min_c": 60}}, True),
            ({"bms": {"temp_max_c": 40, "temp_min_c": 20}}, True),
            ({"bms": {"cell_v_max": 4.30}}, False),
            ({"bms": {"cell_v_max": 4.31}}, True),
            ({"bms": {"flags": ["soc_high"]}}, False),
            ({"bms": {"flags": ["over_temp"]}}, True),
            ({"bms": {"flags": ["charge_forbidden"]}}, True),
            ({"bms": {"flags": ["charge_forbidden"]}, "current_a": 0.0}, True),
            ({"bms": {"flags": ["charge_forbidden"], "pack_a": 0.0}, "current_a": 0.0}, False),
        ],
    )
    def test_by_the_defaults(self, fields: dict[str, Any], critical: bool) -> None:
        assert is_critical(sample(**fields)) is critical

    @pytest.mark.parametrize(
        ("bms", "critical"),
        [
            ({"temp_max_c": 54, "temp_min_c": 50}, False),
            ({"temp_max_c": 55, "temp_min_c": 50}, True),
            ({"cell_v_max": 3.71}, True),
        ],
    )
    def test_by_the_cars_own_limits_first(self, bms: dict[str, Any], critical: bool) -> None:
        assert is_critical(sample(bms=bms), DEFAULTS, LIMITS) is critical
