"""The bridge's screen is never behind the rules: what is critical at once takes the safety lane."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.alerts.jobs import JOBS
from backend.alerts.rules.changes import problems
from backend.alerts.rules.model import CREDIBLE, CarLimits, Rule, Word
from backend.alerts.rules.quantities import Trail
from backend.alerts.rules.table import CAMERA_RULES, CHARGER_WORDS, SAMPLE_RULES, SMOKE_RULES
from backend.alerts.rules.watch import compile_rules
from backend.alerts.service import put_car_limits, rule_sample, thresholds
from backend.core import db
from mqtt_bridge import messages, screen
from mqtt_bridge.messages import CameraCode, ChargerCode, ChargerTelemetry, SmokeCode, SmokeStatus
from mqtt_bridge.registry import Registry
from tests.alerts.test_quiet_samples import sample as as_sample
from tests.cast import LI, QIAN
from tests.factories.accounts import add_person
from tests.factories.alerts import add_watched_scene, staff_of
from tests.factories.telemetry import BMS, BODIES, payload

NOW = datetime(2026, 6, 10, 4, 0, tzinfo=UTC)


def telemetry(*, bms: dict[str, Any] | None = None, **fields: Any) -> ChargerTelemetry:
    values = {"msg_id": "m", "boot": 1, "seq": 1, **BODIES["charger", "telemetry"], **fields}
    return msgspec.convert({**values, "bms": None if bms is None else {**BMS, **bms}}, ChargerTelemetry)


def pairs(overrides: dict[str, dict[str, float]]) -> list[tuple[str, str, float]]:
    """Numbers as the view gives them."""
    return [
        (rule, name, value)
        for rule, numbers in overrides.items()
        for name, value in numbers.items()
        if name.startswith("critical")
    ]


def critical_codes(
    reading: ChargerTelemetry, car: CarLimits | None, overrides: dict[str, dict[str, float]]
) -> set[str]:
    """The rules without a history that find a sample critical."""
    judged = rule_sample(as_sample(NOW, reading))
    found = set()
    for rule in compile_rules(kind="dc", car=car, overrides=overrides):
        value = None if rule.from_trail else rule.quantity(judged, Trail(), car)
        if value is not None and rule.level_of(value * rule.sign, judged, Trail(), car) == "critical":
            found.add(rule.code)
    return found


cars = st.builds(
    CarLimits,
    st.sampled_from(["ncm", "lfp", "unknown"]),
    st.sampled_from([None, 0.0, 34.9, 35.0, 48.0, 55.0, 80.0, 90.0, 250.0]),
    st.sampled_from([None, 0.0, 1.9, 3.6, 3.7, 4.15, 4.6, 9.0]),
)
numbers = st.fixed_dictionaries(
    {},
    optional={
        "battery_temp_high": st.fixed_dictionaries({"critical": st.sampled_from([48.0, 55.0, 84.0])}),
        "battery_temp_spread": st.fixed_dictionaries({"critical": st.sampled_from([8.0, 24.0])}),
        "cell_voltage_high": st.fixed_dictionaries(
            {}, optional={name: st.sampled_from([3.5, 3.7, 3.8]) for name in ("critical", "critical.lfp")}
        ),
        "insulation_low": st.fixed_dictionaries({"critical": st.sampled_from([80.0, 150.0, 400.0])}),
        "gun_temp_high": st.fixed_dictionaries({"critical": st.sampled_from([60.0, 120.0])}),
        "cabinet_temp_high": st.fixed_dictionaries({"critical.ncm": st.just(50.0), "critical": st.just(60.0)}),
        "charge_forbidden": st.fixed_dictionaries({"critical": st.just(0.5)}),
    },
)
readings = st.builds(
    telemetry,
    bms=st.none()
    | st.fixed_dictionaries(
        {},
        optional={
            "temp_max_c": st.integers(30, 100),
            "temp_min_c": st.integers(20, 60),
            "cell_v_max": st.floats(3.3, 4.5),
            "pack_a": st.sampled_from([0.0, 0.4, 0.6, -120.0]),
            "flags": st.lists(st.sampled_from(["charge_forbidden", "over_temp", "soc_high"]), max_size=2),
        },
    ),
    status=st.sampled_from(["charging", "available"]),
    gun_temp_c=st.floats(20, 130),
    cabinet_temp_c=st.none() | st.floats(20, 100),
    insulation_ohm_per_v=st.none() | st.floats(0, 600),
    current_a=st.sampled_from([0.0, 100.0]),
)


class TestTheScreen:
    @settings(max_examples=500, deadline=None)
    @given(readings, st.none() | cars, numbers)
    def test_lets_no_critical_sample_wait(
        self, reading: ChargerTelemetry, car: CarLimits | None, overrides: dict[str, dict[str, float]]
    ) -> None:
        held = screen.strictest(pairs(overrides))
        if critical_codes(reading, car, overrides):
            assert screen.is_critical(reading, held, car)
            assert screen.is_critical(reading, held, None, car)

    def test_knows_a_number_of_every_critical_rule_without_history_and_the_same_credible_limits(self) -> None:
        rules = compile_rules(kind="dc", car=None, overrides={})
        at_once = {r.code for r in rules if r.critical is not None and not r.from_trail}
        assert at_once == {*screen.FIELD_OF_RULE, *(f"bms_{name}" for name in screen.CRITICAL_FLAGS)}
        assert {r.code for r in SAMPLE_RULES} >= at_once
        assert {"temp_limit_c": screen.CREDIBLE_TEMP_C, "cell_v_limit": screen.CREDIBLE_CELL_V} == CREDIBLE

    def test_leaves_ordinary_samples_of_either_chemistry_alone(self) -> None:
        for car, volts in ((CarLimits("ncm", 60.0, 4.3), 4.2), (CarLimits("lfp"), 3.6), (None, 4.2)):
            assert not screen.is_critical(telemetry(bms={"cell_v_max": volts}), screen.DEFAULTS, car)

    @pytest.mark.parametrize("value", [0.0, -1.0, 1.5])
    def test_is_not_opened_for_every_sample_by_a_flag_of_an_impossible_number(self, value: float) -> None:
        assert problems({"bms_over_current": {"critical": value}})


@pytest.mark.usefixtures("database")
class TestABridge:
    async def test_takes_the_numbers_of_a_station_and_what_cars_said_from_the_database(self) -> None:
        scene = await add_watched_scene(now=NOW)
        await add_person(QIAN)
        gun = scene.place.dc
        registry = Registry(monotonic=lambda: 0.0)
        await registry.refresh(db)  # type: ignore[arg-type]
        assert registry.numbers_of(scene.place.station.id) == screen.DEFAULTS
        for station_id, rules in (
            (None, {"battery_temp_high": {"warning": 40.0, "critical": 50.0}}),
            (scene.place.station.id, {"gun_temp_high": {"critical": 90.0}}),
        ):
            version = await thresholds.propose(
                staff=await staff_of(LI),
                operator_company_id=scene.company_id,
                station_id=station_id,
                rules=rules,
                reason="a hot summer",
                now=NOW,
            )
            await thresholds.approve(staff=await staff_of(QIAN), version_id=version.id, now=NOW)
        car = CarLimits("lfp", temp_limit_c=45, cell_v_limit=3.7)
        await put_car_limits(connector_id=gun.connector.id, car=car, at=NOW, now=NOW)
        await registry.refresh(db)  # type: ignore[arg-type]
        held = registry.numbers_of(scene.place.station.id)
        assert (held.temp_c, held.gun_c, held.cabinet_c) == (50.0, 90.0, 85.0)
        assert registry.said_by_car(gun.charger.code, gun.connector.number) == ("lfp", 45.0, 3.7)
        await put_car_limits(connector_id=gun.connector.id, car=None, at=NOW + timedelta(hours=1), now=NOW)
        await registry.refresh(db)  # type: ignore[arg-type]
        assert registry.said_by_car(gun.charger.code, gun.connector.number) is None


class TestAMessageOfDanger:
    @pytest.mark.parametrize(
        ("rules", "kind", "channel", "field", "words"),
        [
            (SMOKE_RULES, "smoke", "event", "code", get_args(SmokeCode)),
            (SMOKE_RULES, "smoke", "state", "status", get_args(SmokeStatus)),
            (CAMERA_RULES, "camera", "event", "code", get_args(CameraCode)),
            (CHARGER_WORDS, "charger", "event", "code", get_args(ChargerCode)),
        ],
    )
    def test_is_one_that_raises_a_critical_alert_by_itself_or_shows_a_person(
        self, rules: tuple[Rule, ...], kind: str, channel: str, field: str, words: tuple[str, ...]
    ) -> None:
        critical = {
            w
            for rule in rules
            if isinstance(rule.when, Word) and rule.when.level == "critical"
            for w in rule.when.words
        }
        for word in words:
            message = messages.parse(kind, channel, payload(kind, channel, at=NOW, **{field: word}))
            assert messages.tells_of_danger(message) == (word in critical | {"person"}), word

    def test_is_a_sample_that_took_the_safety_lane(self) -> None:
        assert messages.tells_of_danger(telemetry())

    def test_has_its_job_taken_before_the_others(self) -> None:
        for name in ("smoke_reported", "camera_danger", "critical_sample", "show_alert", "show_incident", "escalate"):
            assert JOBS.entrypoints[f"alerts.{name}"].first, name
