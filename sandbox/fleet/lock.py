"""A simulated ground lock: moves in seconds, feels the car above it, refuses to rise under one by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Literal

from mqtt_bridge.messages import Command
from sandbox.fleet.device import Device

MOVE_S: Final = 2.5
LOW_BATTERY_PCT: Final = 15.0

Position = Literal["up", "down", "moving", "error"]


class Lock(Device):
    """The lock of one bay. A car cannot enter over it unless it is `down`."""

    kind: ClassVar[str] = "lock"

    def __init__(self, *, bay: str, **common: Any) -> None:
        super().__init__(**common)
        self.bay = bay
        self.position: Position = "up"
        self.car_above = False
        self.sensor_ok = True
        self.battery_pct = 92.0
        self.jammed = False
        self.error: str | None = None
        self.when_down: Callable[[], None] | None = None
        """Called as soon as the lock lies down: a car that waits before it drives in."""
        self._target: Position | None = None
        self._target_cmd: str | None = None
        self._done_at: datetime | None = None

    @property
    def is_passable(self) -> bool:
        """Whether a car can drive over it."""
        return self.position == "down"

    def state(self) -> dict[str, Any]:
        return {
            "online": True,
            "position": self.position,
            "car_present": self.car_above if self.sensor_ok else None,
            "battery_pct": self.battery_pct,
            "error": self.error,
        }

    def car_enters(self) -> None:
        """A car now stands above the lock."""
        self.car_above = True
        self.publish_state()

    def car_leaves(self) -> None:
        """The place above the lock is empty."""
        self.car_above = False
        self.publish_state()

    def execute(self, command: Command) -> None:
        if command.name not in {"raise", "lower"}:
            self.acknowledge(command.cmd_id, error="unknown_command")
            return
        if command.name == "raise" and (self.car_above or not self.sensor_ok):
            self.publish("event", code="refused_car")
            self.acknowledge(command.cmd_id, error="car")
            return
        target: Position = "up" if command.name == "raise" else "down"
        if self._target_cmd is not None:
            self.acknowledge(self._target_cmd, error="superseded")
        if self.position == target and self._done_at is None:
            self.acknowledge(command.cmd_id)
            return
        self._move(target, cmd_id=command.cmd_id)

    def lower_by_itself(self) -> None:
        """Power fails: a spring lowers the lock."""
        if self.position != "down":
            self._move("down", cmd_id=None)

    def force_down(self) -> None:
        """Somebody drives over a raised lock."""
        self._stop_moving()
        self.position = "down"
        self.publish("event", code="forced")
        self.publish_state()

    def set_battery(self, pct: float) -> None:
        """The battery is at ``pct``; a low one is an event."""
        self.battery_pct = pct
        if pct < LOW_BATTERY_PCT:
            self.publish("event", code="low_battery")
        self.publish_state()

    def unjam(self) -> None:
        """Repair a jammed lock: it lies down, as after a visit of the staff."""
        self.jammed, self.error = False, None
        if self.position == "error":
            self.position = "down"
        self.publish_state()

    def tick(self, *, dt_s: float) -> None:
        if self._target == "up" and self.car_above:
            self._refuse_on_the_way()
        if self._done_at is not None and self.clock.now() >= self._done_at:
            self._arrive()
        super().tick(dt_s=dt_s)

    def _move(self, target: Position, *, cmd_id: str | None) -> None:
        self._target, self._target_cmd = target, cmd_id
        self._done_at = self.clock.now() + timedelta(seconds=MOVE_S)
        self.position = "moving"
        self.publish_state()

    def _arrive(self) -> None:
        target, cmd_id = self._target, self._target_cmd
        self._stop_moving()
        if target is None:
            return
        if self.jammed:
            self.position, self.error = "error", "jammed"
            self.publish("event", code="raise_error" if target == "up" else "lower_error")
        else:
            self.position, self.error = target, None
        self.publish_state()
        if cmd_id is not None:
            self.acknowledge(cmd_id, error="jammed" if self.jammed else None)
        if self.is_passable and self.when_down is not None:
            self.when_down()

    def _refuse_on_the_way(self) -> None:
        """A car came while the lock was rising: it goes down again."""
        cmd_id, self._target_cmd = self._target_cmd, None
        self.publish("event", code="refused_car")
        if cmd_id is not None:
            self.acknowledge(cmd_id, error="car")
        self._move("down", cmd_id=None)

    def _stop_moving(self) -> None:
        self._target = self._target_cmd = self._done_at = None

    def reboot(self) -> None:
        """A lock that restarts in the middle of a move lowers: it does not know what stands above it."""
        moving = self._done_at is not None
        self._stop_moving()
        super().reboot()
        if moving:
            self._move("down", cmd_id=None)

    def truth(self) -> dict[str, Any]:
        return {"bay": self.bay, "position": self.position, "car_above": self.car_above, "jammed": self.jammed}
