"""Every text fits a lock screen, in both languages, and carries no personal data."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.notifications.rules import texts
from backend.notifications.rules.texts_booking import BOOKING_TEXTS
from backend.notifications.rules.texts_safety import SAFETY_TEXTS

LONGEST = {
    "area": "地下二层充电区",
    "bay": "B2-128",
    "before_yuan": "1234.56",
    "code": "123456",
    "connector": "12",
    "device": "烟感 YG-2048",
    "count": 9_999,
    "day": "2026-12-31",
    "difference_yuan": "1234.56",
    "energy_kwh": "120.55",
    "kind": "直流",
    "level": "critical",
    "minutes": 120,
    "reason": "烟感报警，尚未核实",
    "seconds": 90,
    "starts": "11月21日 18:30",
    "station": "天通苑北三区地下停车场惠民充电站",
    "total_yuan": "1234.56",
    "until": "11月21日 20:30",
}
EVERY = [(name, locale) for name in texts.TEMPLATES for locale in ("zh-CN", "en")]


class TestTemplates:
    def test_are_in_alphabetical_order(self) -> None:
        rest = [name for name in texts.TEMPLATES if name not in BOOKING_TEXTS | SAFETY_TEXTS]
        for names in (list(BOOKING_TEXTS), list(SAFETY_TEXTS), rest):
            assert names == sorted(names)

    @pytest.mark.parametrize(("name", "locale"), EVERY)
    def test_fit_a_lock_screen_when_filled_with_the_longest_values(self, name: str, locale: str) -> None:
        text = texts.render(name, locale=locale, params=LONGEST)
        assert text.title and text.body
        assert texts.width(text.title) <= texts.TITLE_WIDTH
        assert texts.width(text.body) <= texts.BODY_WIDTH
        assert not text.body.endswith("…"), "the body is cut with ordinary values: make it shorter"
        assert "{" not in text.title + text.body

    @pytest.mark.parametrize("name", texts.TEMPLATES)
    def test_name_only_what_is_no_personal_data(self, name: str) -> None:
        assert texts.get(name).placeholders() <= texts.PLACEHOLDERS

    def test_no_placeholder_is_about_a_person(self) -> None:
        personal = {"phone", "plate", "name", "vin", "openid", "address", "lat", "lng", "account", "resident", "driver"}
        assert not texts.PLACEHOLDERS & personal

    @pytest.mark.parametrize(("name", "locale"), EVERY)
    def test_are_in_their_language(self, name: str, locale: str) -> None:
        template = texts.get(name)
        title, body = (template.title_en, template.body_en) if locale == "en" else (template.title_zh, template.body_zh)
        has_chinese = re.search(r"[\u4e00-\u9fff]", title + body) is not None
        assert has_chinese == (locale == "zh-CN")

    @pytest.mark.parametrize("name", texts.TEMPLATES)
    def test_chinese_sms_with_its_signature_is_at_most_two_parts(self, name: str) -> None:
        text = texts.render(name, locale="zh-CN", params=LONGEST)
        assert len("【邻里充电】" + text.body) <= 134

    def test_exist_for_every_name_the_service_uses(self) -> None:
        backend = Path(__file__).parents[2] / "backend"
        used = {
            (found, path.name)
            for path in backend.rglob("*.py")
            if "piccolo_migrations" not in path.parts
            for found in re.findall(r'\btemplate="([a-z_]+)"', path.read_text())
        }
        assert {(name, file) for name, file in used if name not in texts.TEMPLATES} == set()

    @pytest.mark.parametrize("name", ["login_code", "bind_code", "sign_code"])
    def test_of_one_time_codes_exist_for_every_purpose(self, name: str) -> None:
        assert texts.get(name).placeholders() == {"code"}


class TestCheckParams:
    def test_refuses_a_missing_value(self) -> None:
        with pytest.raises(texts.MissingParams, match="station"):
            texts.check_params("danger_stay_away", {})

    def test_refuses_personal_data(self) -> None:
        with pytest.raises(texts.MissingParams, match="plate"):
            texts.check_params("danger_stay_away", {"station": "甲", "plate": "京AD12345"})

    def test_refuses_an_unknown_template(self) -> None:
        with pytest.raises(texts.UnknownTemplate):
            texts.check_params("no_such_template", {})


class TestFit:
    @given(st.text(max_size=400), st.integers(min_value=2, max_value=200))
    def test_never_passes_the_limit_and_keeps_what_fits(self, text: str, limit: int) -> None:
        cut = texts.fit(text, limit)
        assert texts.width(cut) <= limit
        assert cut == text or cut.endswith("…")
        assert text.startswith(cut.removesuffix("…")) or cut == text
