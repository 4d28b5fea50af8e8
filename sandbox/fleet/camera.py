"""Simulated cameras: the approach camera reads plates on a lane, the bay camera sees what stands in its bays."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Literal

from sandbox.fleet.device import Device

EnergyType = Literal["nev", "fuel", "unknown"]


def reading_confidence(plate: str) -> float:
    """How sure a camera is of a plate: 0.93 to 0.99, the same each time for the same plate."""
    return 0.93 + hashlib.sha256(plate.encode()).digest()[0] % 7 / 100


class Camera(Device):
    """One camera. `unreadable` dirt makes it see a car but no plate; a blind one knows nothing of its bays."""

    kind: ClassVar[str] = "camera"

    def __init__(self, *, role: Literal["approach", "bay"], bays: list[str], lane: str | None, **common: Any) -> None:
        super().__init__(**common)
        self.role = role
        self.lane = lane
        self.bays: dict[str, bool] = dict.fromkeys(bays, False)
        self.dirty = False
        self.blind = False

    def state(self) -> dict[str, Any]:
        if self.blind:
            return {"online": True, "bays": dict.fromkeys(self.bays, "unknown")}
        return {"online": True, "bays": {bay: "occupied" if taken else "free" for bay, taken in self.bays.items()}}

    def read_lane(self, *, plate: str, energy_type: EnergyType, confidence: float | None = None) -> None:
        """A car passes the approach camera."""
        if self.blind:
            return
        if self.dirty:
            self.publish("event", code="unreadable", lane=self.lane, energy_type="unknown", confidence=0.1)
            return
        self.publish(
            "event",
            code="plate_read",
            lane=self.lane,
            plate=plate,
            energy_type=energy_type,
            confidence=round(reading_confidence(plate) if confidence is None else confidence, 2),
        )

    def see_occupied(self, *, bay: str, plate: str, energy_type: EnergyType, confidence: float | None = None) -> None:
        """A car stands in a bay."""
        self.bays[bay] = True
        if self.blind:
            return
        self.publish_state()
        sure = reading_confidence(plate) if confidence is None else confidence
        self.publish(
            "event",
            code="bay_occupied",
            bay=bay,
            plate=None if self.dirty else plate,
            energy_type="unknown" if self.dirty else energy_type,
            confidence=0.1 if self.dirty else round(sure, 2),
        )
        if self.dirty:
            self.publish("event", code="unreadable", bay=bay, energy_type="unknown", confidence=0.1)

    def see_free(self, *, bay: str) -> None:
        """The car is gone."""
        self.bays[bay] = False
        if self.blind:
            return
        self.publish_state()
        self.publish("event", code="bay_free", bay=bay, energy_type="unknown", confidence=0.97)

    def see_danger(self, *, code: Literal["smoke", "flame", "person"], bay: str | None, confidence: float) -> None:
        """Smoke, a flame, or a person where none should be."""
        self.publish("event", code=code, bay=bay, energy_type="unknown", confidence=confidence)

    def set_blind(self, blind: bool) -> None:
        """The lens is covered, or free again: every bay is unknown, or seen anew."""
        self.blind = blind
        self.publish_state()

    def truth(self) -> dict[str, Any]:
        return {"role": self.role, "lane": self.lane, "bays": dict(self.bays), "dirty": self.dirty, "blind": self.blind}
