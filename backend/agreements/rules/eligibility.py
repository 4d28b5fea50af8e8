"""Who may have an agreement: the conditions of the pilot plan, each decided and named on its own.

Source: P 8 (京管发〔2023〕9号): residents of the compound who have a car, no parking bay and no private charger;
2-12 of the application form: who live there for long. The plate's colour decides nothing: early and temporary plates
are not green.
"""

from dataclasses import dataclass
from typing import Literal

RADIUS_M = 500
VehicleUse = Literal["owner", "family", "lease", "company"]
VehicleEnergy = Literal["battery", "plug_in_hybrid", "range_extender", "fuel_cell", "fuel"]
NEW_ENERGY: frozenset[str] = frozenset({"battery", "plug_in_hybrid", "range_extender", "fuel_cell"})

Condition = Literal[
    "home_unknown",
    "home_too_far",
    "not_long_term",
    "has_own_bay",
    "has_private_charger",
    "not_a_new_energy_vehicle",
    "no_use_of_the_vehicle",
]


@dataclass(frozen=True)
class Situation:
    """What is known when somebody applies: how far the company's nearest pilot station is, and the declaration."""

    home_known: bool
    distance_m: int | None
    long_term_resident: bool
    has_own_bay: bool
    has_private_charger: bool
    vehicle_energy: VehicleEnergy
    vehicle_use: VehicleUse | None


@dataclass(frozen=True)
class Wording:
    """What a condition says to the resident."""

    zh: str
    en: str


WORDINGS: dict[Condition, Wording] = {
    "home_unknown": Wording("请先设置您居住的小区", "Set the housing compound you live in first."),
    "home_too_far": Wording(
        "您的小区 500 米内没有该服务商的试点充电站", "No pilot station of this company within 500 m of your compound."
    ),
    "not_long_term": Wording("协议面向在小区长期居住的居民", "The agreement is for people who live there for long."),
    "has_own_bay": Wording("协议面向没有自有停车位的居民", "The agreement is for people without a bay of their own."),
    "has_private_charger": Wording(
        "协议面向没有私人充电桩的居民", "The agreement is for people without a private charger."
    ),
    "not_a_new_energy_vehicle": Wording(
        "协议仅适用于新能源汽车（以行驶证燃料类型为准）",
        "Only for new-energy vehicles (fuel type of the driving licence).",
    ),
    "no_use_of_the_vehicle": Wording(
        "请说明您如何使用该车辆（本人、家庭、租赁或单位车辆）",
        "Say by which right you use the vehicle (own, family, lease or company).",
    ),
}


def failed_conditions(situation: Situation) -> tuple[Condition, ...]:
    """Return every condition that is not met, in a fixed order; empty when the person is eligible.

    All of them, not the first: nobody should have to apply three times to learn three things. A home exactly 500 m away
    counts as near.
    """
    checks: tuple[tuple[bool, Condition], ...] = (
        (not situation.home_known, "home_unknown"),
        (situation.home_known and not _near(situation.distance_m), "home_too_far"),
        (not situation.long_term_resident, "not_long_term"),
        (situation.has_own_bay, "has_own_bay"),
        (situation.has_private_charger, "has_private_charger"),
        (situation.vehicle_energy not in NEW_ENERGY, "not_a_new_energy_vehicle"),
        (situation.vehicle_use is None, "no_use_of_the_vehicle"),
    )
    return tuple(condition for failed, condition in checks if failed)


def _near(distance_m: int | None) -> bool:
    return distance_m is not None and distance_m <= RADIUS_M
