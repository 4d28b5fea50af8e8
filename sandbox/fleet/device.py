"""What all simulated devices share: header, reports, command handling, reboot.

Synchronous and driven from outside (`tick`, `receive`, `connected`), with an injected clock and sender, so that a test
can play hours in microseconds. Time stamps are wall time by the device's own clock (`clock_offset_s` makes it wrong);
only physics knows the speed factor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

import msgspec

from backend.core.clock import Clock
from mqtt_bridge import topics
from mqtt_bridge.messages import Command, format_ts, read_ts
from sandbox.fleet.link import Outgoing, Sender

KEPT_ACKS: Final = 100
REBOOT_S: Final = 3.0

Journal = Callable[[str, dict[str, Any]], None]


class Device(ABC):
    """A device on the wire. Subclasses give `kind`, `state`, `report` and `execute`."""

    kind: ClassVar[str]

    def __init__(
        self, *, station: str, code: str, report_interval_s: float, clock: Clock, sender: Sender, journal: Journal
    ) -> None:
        self.station = station
        self.code = code
        self.report_interval_s = report_interval_s
        self.clock = clock
        self.sender = sender
        self.journal = journal
        self.clock_offset_s = 0.0
        self.muted = False
        self.deaf = False
        self.firmware = "sim-1.4.2"
        self.boot = int(clock.now().timestamp())
        self.seq = 0
        self._acks: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._pending: dict[str, str] = {}
        self._last: Outgoing | None = None
        phase = (sum(code.encode()) * 37 % 100) / 100
        self._report_at = clock.now() + timedelta(seconds=report_interval_s * phase)

    def topic(self, channel: str) -> str:
        """The topic of one of this device's channels."""
        return topics.make(station=self.station, kind=self.kind, device=self.code, channel=channel)

    @property
    def will(self) -> Outgoing:
        """The last will: retained, so that a service that starts later knows too."""
        return Outgoing(self.topic("state"), b'{"online":false}', True)

    def now(self) -> datetime:
        """The device's own clock."""
        return self.clock.now() + timedelta(seconds=self.clock_offset_s)

    def publish(self, channel: str, **fields: Any) -> None:
        """Send one message with the header of the contract; `state` is retained."""
        if self.muted:
            return
        payload = {
            "msg_id": f"{self.boot}-{self.seq}",
            "boot": self.boot,
            "seq": self.seq,
            "ts": format_ts(self.now()),
            **{key: value for key, value in fields.items() if value is not None or key == "car_present"},
        }
        self.seq += 1
        self._last = Outgoing(self.topic(channel), msgspec.json.encode(payload), channel == "state")
        self.sender.send(self._last)
        self.journal(self._last.topic, payload)

    def publish_raw(self, channel: str, body: bytes) -> None:
        """Send bytes as they are, past the contract: what a broken device does."""
        self.sender.send(Outgoing(self.topic(channel), body, False))
        self.journal(self.topic(channel), {"raw": body[:80].decode(errors="replace"), "bytes": len(body)})

    def repeat_last(self) -> None:
        """Send the last message again, same ``msg_id``."""
        if self._last is not None:
            self.sender.send(self._last)
            self.journal(self._last.topic, msgspec.json.decode(self._last.body))

    # ------------------------------------------------------------------ state and reports

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """The fields of a `state` message beside the header."""

    def publish_state(self) -> None:
        """Send the present state, retained."""
        self.publish("state", **self.state())

    def report(self) -> None:
        """The periodic report; a `state` unless the kind has telemetry."""
        self.publish_state()

    def connected(self) -> None:
        """The link stands (again): say how things are, because the broker still holds the last will."""
        self.publish_state()

    def tick(self, *, dt_s: float) -> None:
        """Let ``dt_s`` of wall time pass, and report when it is time."""
        now = self.clock.now()
        if now >= self._report_at:
            self.report()
            self.schedule_report()

    def schedule_report(self) -> None:
        """The next periodic report is one interval from now."""
        self._report_at = self.clock.now() + timedelta(seconds=self.report_interval_s)

    def reboot(self) -> None:
        """Start again: a higher boot number, sequence from 0, pending commands forgotten."""
        self.boot = max(self.boot + 1, int(self.clock.now().timestamp()))
        self.seq = 0
        self._pending.clear()

    def truth(self) -> dict[str, Any]:
        """What is physically so, whatever the device reports. For testers."""
        return {}

    # ------------------------------------------------------------------ commands

    def receive(self, body: bytes) -> None:
        """Take a command. A repeat gets the same answer again; an expired one is refused; each is answered once.

        A body that is no command is ignored: there is no ``cmd_id`` to answer to.
        """
        if self.deaf:
            return
        try:
            command = msgspec.json.decode(body, type=Command)
        except msgspec.MsgspecError:
            return
        known = self._acks.get(command.cmd_id)
        if known is not None:
            self.publish("ack", **known)
            return
        if command.cmd_id in self._pending:
            return
        expires_at = read_ts(command.expires_at)
        if expires_at is None:
            self.acknowledge(command.cmd_id, error="bad_expiry")
        elif expires_at <= self.now():
            self.acknowledge(command.cmd_id, error="expired")
        else:
            self._pending[command.cmd_id] = command.name
            self.execute(command)

    def execute(self, command: Command) -> None:
        """Do what the command says and call `acknowledge`, at once or within 10 s."""
        self.acknowledge(command.cmd_id, error="unknown_command")

    def acknowledge(self, cmd_id: str, *, error: str | None = None) -> None:
        """Answer a command."""
        fields: dict[str, Any] = {"cmd_id": cmd_id, "ok": error is None, "error": error}
        self._pending.pop(cmd_id, None)
        self._acks[cmd_id] = fields
        while len(self._acks) > KEPT_ACKS:
            self._acks.popitem(last=False)
        self.publish("ack", **fields)
