"""A simulated smoke detector."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

from mqtt_bridge.messages import Command
from sandbox.fleet.device import Device

SmokeStatus = Literal["normal", "alarm", "fault", "tampered", "removed", "test"]
CLEAR_AIR: Final = 0.02
SMOKE: Final = 0.9

_EVENT: Final[dict[SmokeStatus, str]] = {
    "normal": "alarm_cleared",
    "alarm": "alarm",
    "fault": "fault",
    "tampered": "tampered",
    "removed": "removed",
    "test": "test",
}


class Smoke(Device):
    """One detector; its buzzer can be silenced by command, its alarm not."""

    kind: ClassVar[str] = "smoke"

    def __init__(self, *, area: str | None, ambient_c: float, **common: Any) -> None:
        super().__init__(**common)
        self.area = area
        self.ambient_c = ambient_c
        self.status: SmokeStatus = "normal"
        self.battery_pct = 96.0
        self.buzzing = False

    def state(self) -> dict[str, Any]:
        alarm = self.status == "alarm"
        return {
            "online": True,
            "status": self.status,
            "battery_pct": self.battery_pct,
            "temperature_c": round(self.ambient_c + (14.0 if alarm else 0.0), 1),
            "concentration": SMOKE if alarm else CLEAR_AIR,
        }

    def turn(self, status: SmokeStatus) -> None:
        """Go to a status: the state first, then the event. `alarm_cleared` only follows an alarm."""
        before, self.status = self.status, status
        self.buzzing = status in {"alarm", "test"}
        self.publish_state()
        if status != "normal" or before == "alarm":
            self.publish("event", code=_EVENT[status])

    def set_battery(self, pct: float) -> None:
        """The battery is at ``pct``; below 15 it is an event."""
        self.battery_pct = pct
        self.publish_state()
        if pct < 15:
            self.publish("event", code="low_battery")

    def execute(self, command: Command) -> None:
        if command.name != "silence":
            self.acknowledge(command.cmd_id, error="unknown_command")
            return
        self.buzzing = False
        self.acknowledge(command.cmd_id)

    def truth(self) -> dict[str, Any]:
        return {"area": self.area, "status": self.status, "buzzing": self.buzzing, "battery_pct": self.battery_pct}
