"""Numbers of the rules: checked, proposed, approved by a second person, in force, tried on history."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.alerts.rules.changes import problems
from backend.alerts.rules.model import CarLimits, Measure, adjust
from backend.alerts.rules.table import ALL_RULES, SAMPLE_RULES
from backend.alerts.service import SampleEvaluator, put_car_limits, thresholds, trying
from backend.alerts.service.thresholds import RuleNumbersInvalid, RulesNeedSecondPerson, RuleVersionDecided
from backend.core import db
from backend.core.errors import NotFound
from backend.core.services import Services
from tests.alerts.test_samples import hot
from tests.cast import ALICE, LI, QIAN, WANG, ZHOU
from tests.factories.accounts import add_person, log_in
from tests.factories.alerts import add_watched_scene, open_codes, staff_of
from tests.factories.charging import sample
from tests.factories.reservations import Scene
from tests.factories.telemetry import BMS

NOW = datetime(2026, 6, 10, 4, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
COOLER = {"battery_temp_high": {"warning": 45.0, "critical": 48.0}}


class TestProposedNumbers:
    @pytest.mark.parametrize(
        ("rules", "where"),
        [
            ({"no_such_rule": {"warning": 1}}, "no_such_rule"),
            ({"smoke_alarm": {"off": 1}}, "smoke_alarm"),
            ({"battery_temp_high": {"hot": 1}}, "battery_temp_high.hot"),
            ({"battery_temp_high": {"warning": float("nan")}}, "battery_temp_high.warning"),
            ({"battery_temp_high": {"off": 1}}, "battery_temp_high.off"),
            ({"battery_temp_high": {"persistence": 0}}, "battery_temp_high.persistence"),
            ({"battery_temp_high": {"persistence": 1.5}}, "battery_temp_high.persistence"),
            ({"battery_temp_high": {"clear_by": -1}}, "battery_temp_high.clear_by"),
            ({"battery_temp_high": {"critical": 85}}, "battery_temp_high.critical"),
            ({"battery_temp_high": {"warning": 50, "critical": 45}}, "battery_temp_high.warning"),
            ({"battery_temp_high": {"critical": 59}}, "battery_temp_high.warning"),
            ({"insulation_low": {"critical": 70}}, "insulation_low.critical"),
            ({"insulation_low": {"warning": 410, "critical": 420}}, "insulation_low.warning"),
            ({"cell_voltage_high": {"warning.lfp": 4.2}}, "cell_voltage_high.warning.lfp"),
            ({"soc_jump": {"critical": 20}}, "soc_jump.critical"),
        ],
    )
    def test_that_cannot_be_are_named(self, rules: dict[str, dict[str, float]], where: str) -> None:
        assert where in [field for field, _ in problems(rules)]

    @pytest.mark.parametrize(
        "rules",
        [
            {},
            COOLER,
            {"charge_slow": {"off": 1}},
            {"battery_temp_high": {"critical": 84, "warning": 72, "persistence": 1, "clear_by": 0}},
            {"cell_voltage_high": {"warning.lfp": 3.6, "critical.lfp": 3.7}},
            {"insulation_low": {"warning": 600, "critical": 150}},
        ],
    )
    def test_that_are_sensible_are_taken(self, rules: dict[str, dict[str, float]]) -> None:
        assert problems(rules) == []

    @given(
        st.sampled_from(SAMPLE_RULES),
        st.dictionaries(st.sampled_from(["warning", "critical", "warning.lfp", "critical.ncm"]), st.floats(-50, 700)),
    )
    def test_never_leave_a_critical_rule_without_its_limit(self, rule: Any, numbers: dict[str, float]) -> None:
        if problems({rule.code: numbers}):
            return
        held = adjust(rule, numbers)
        assert held is not None and isinstance(held.when, Measure)
        assert (held.when.critical is None) == (rule.when.critical is None)
        for chemistry in ("ncm", "lfp", "unknown"):
            car = CarLimits(chemistry)
            if held.when.critical is not None and held.when.bad != "at_or_below":
                assert held.when.critical.resolve(car) <= rule.when.critical.resolve(car) * 1.2


@pytest.mark.usefixtures("database")
class TestAVersion:
    async def propose(self, scene: Scene, **rules: dict[str, float]) -> thresholds.RuleVersionView:
        return await thresholds.propose(
            staff=await staff_of(LI),
            operator_company_id=scene.company_id,
            station_id=scene.place.station.id,
            rules=rules or COOLER,
            reason="a hot summer",
            now=NOW,
        )

    async def test_holds_only_when_a_second_person_has_approved_it(self) -> None:
        scene = await add_watched_scene(now=NOW)
        await add_person(QIAN)
        evaluator, gun = SampleEvaluator(), scene.place.dc
        version = await self.propose(scene)
        await evaluator.evaluate(hot(gun, 1, 2, temp=49, at=NOW), NOW)
        assert await open_codes() == []
        with pytest.raises(RulesNeedSecondPerson):
            await thresholds.approve(staff=await staff_of(LI), version_id=version.id, now=NOW)
        await thresholds.approve(staff=await staff_of(QIAN), version_id=version.id, now=NOW)
        later = NOW + 11 * SECOND
        await evaluator.evaluate(hot(gun, 3, 2, temp=49, at=NOW + timedelta(minutes=9)), later)
        assert await open_codes() == ["battery_temp_high"]
        with pytest.raises(RuleVersionDecided):
            await thresholds.reject(staff=await staff_of(QIAN), version_id=version.id, now=later)
        actions = await db.fetch("SELECT action FROM audit_entry WHERE object_id = $1 ORDER BY id", str(version.id))
        assert [row["action"] for row in actions] == ["rules.proposed", "rules.approved"]

    async def test_replaces_the_one_in_force_as_a_whole(self) -> None:
        scene = await add_watched_scene(now=NOW)
        await add_person(QIAN)
        first = await self.propose(scene)
        second = await self.propose(scene, gun_temp_high={"warning": 60})
        assert (first.number, second.number) == (1, 2)
        for version in (first, second):
            await thresholds.approve(staff=await staff_of(QIAN), version_id=version.id, now=NOW)
        assert await thresholds.overrides_for(station=scene.place.station) == {"gun_temp_high": {"warning": 60}}

    async def test_of_another_company_is_not_there(self) -> None:
        scene = await add_watched_scene(now=NOW)
        version = await self.propose(scene)
        with pytest.raises(NotFound):
            await thresholds.approve(staff=await staff_of(ZHOU), version_id=version.id, now=NOW)

    async def test_with_impossible_numbers_is_refused(self) -> None:
        scene = await add_watched_scene(now=NOW)
        with pytest.raises(RuleNumbersInvalid):
            await self.propose(scene, battery_temp_high={"critical": 200})


@pytest.mark.usefixtures("database")
class TestTryingRules:
    async def test_says_what_other_numbers_would_have_raised_and_writes_nothing(self) -> None:
        scene = await add_watched_scene(now=NOW)
        gun = scene.place.dc
        for n in range(6):
            bms = {**BMS, "temp_max_c": 50 if n < 4 else 30, "temp_min_c": 28}
            await sample(gun, now=NOW + n * 30 * SECOND, meter_wh=1_000_000 + n * 300, bms=bms)
        span = {"since": NOW, "until": NOW + timedelta(minutes=5), "station_code": scene.place.station.code}
        as_it_is = await trying.try_rules(**span)  # type: ignore[arg-type]
        assert "battery_temp_high" not in [f.code for f in as_it_is.fired]
        tried = await trying.try_rules(**span, rules=COOLER)  # type: ignore[arg-type]
        (hot_one,) = [f for f in tried.fired if f.code == "battery_temp_high"]
        assert (hot_one.level, hot_one.value, hot_one.charger_code) == ("critical", 50, gun.charger.code)
        assert (hot_one.at, hot_one.until) == (NOW + 30 * SECOND, NOW + 150 * SECOND)
        assert await open_codes() == []

    async def test_uses_the_limits_of_the_car_of_that_time(self) -> None:
        scene = await add_watched_scene(now=NOW)
        gun = scene.place.dc
        car = CarLimits("lfp", temp_limit_c=52)
        await put_car_limits(connector_id=gun.connector.id, car=car, at=NOW - SECOND, now=NOW)
        for n in range(2):
            bms = {**BMS, "temp_max_c": 50, "temp_min_c": 48}
            await sample(gun, now=NOW + n * 30 * SECOND, meter_wh=1_000_000 + n * 300, bms=bms)
        await put_car_limits(connector_id=gun.connector.id, car=None, at=NOW + 300 * SECOND, now=NOW)
        tried = await trying.try_rules(since=NOW, until=NOW + timedelta(minutes=10))
        assert [(f.code, f.level, f.limit) for f in tried.fired] == [("battery_temp_high", "warning", 47)]


class TestRulesOverHttp:
    async def test_are_read_proposed_and_approved_by_their_own_company(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        scene = await add_watched_scene(now=now)
        li, qian, zhou, wang, alice = [
            (await log_in(person, services=services, now=now)).headers for person in (LI, QIAN, ZHOU, WANG, ALICE)
        ]
        path = "/v1/operator/settings/rules"
        body = {"rules": COOLER, "reason": "a hot summer", "station_id": str(scene.place.station.id)}
        assert (await api.post(path, json=body, headers=alice)).status_code == 403
        assert (await api.post(path, json=body, headers=wang)).status_code == 403
        assert (await api.post(path, json=body, headers=zhou)).status_code == 404
        wrong = await api.post(path, json={**body, "rules": {"smoke_alarm": {"off": 1}}}, headers=li)
        assert (wrong.status_code, wrong.json()["code"]) == (422, "rule_numbers_invalid")
        made = await api.post(path, json=body, headers=li)
        assert (made.status_code, made.json()["status"]) == (201, "proposed")
        version = f"{path}/versions/{made.json()['id']}"
        own = await api.post(f"{version}/approve", headers=li)
        assert (own.status_code, own.json()["code"]) == (403, "second_person_needed")
        assert (await api.post(f"{version}/approve", headers=zhou)).status_code == 404
        assert (await api.post(f"{version}/approve", headers=qian)).json()["status"] == "approved"
        table = await api.get(path, params={"station_id": str(scene.place.station.id)}, headers=li)
        rows = {row["code"]: row for row in table.json()["items"]}
        assert set(rows) == {rule.code for rule in ALL_RULES}
        assert rows["battery_temp_high"]["critical"] == {"ncm": 48, "lfp": 48, "unknown": 48}
        assert (
            await api.get(path, params={"station_id": str(scene.place.station.id)}, headers=zhou)
        ).status_code == 404
        listed = (await api.get(f"{path}/versions", headers=qian)).json()["items"]
        assert [item["status"] for item in listed] == ["approved"]
