"""A fleet without a broker and without waiting: a clock the test moves, and everything published in a list."""

from datetime import timedelta
from typing import Any

import msgspec

from mqtt_bridge import messages, topics
from mqtt_bridge.messages import format_ts
from sandbox.fleet.fleet import Fleet
from sandbox.fleet.link import Outgoing
from sandbox.fleet.plan import (
    CameraPlan,
    ChargerPlan,
    ConnectorPlan,
    FleetPlan,
    LockPlan,
    SmokePlan,
    StationPlan,
)
from tests.fakes import FixedClock


def small_station(code: str = "S1", *, life: bool = False) -> StationPlan:
    """A station with one of everything: DC with two guns, AC, a lock on R1, cameras, a detector."""
    return StationPlan(
        code=code,
        name="和平里",
        ambient_c=15.0,
        life=life,
        chargers=[
            ChargerPlan(
                code=f"{code}-D1",
                password="p",
                kind="dc",
                connectors=[
                    ConnectorPlan(number=1, max_power_w=60_000, bays=["P1"]),
                    ConnectorPlan(number=2, max_power_w=60_000, bays=["P2"]),
                ],
            ),
            ChargerPlan(
                code=f"{code}-A1",
                password="p",
                kind="ac",
                connectors=[ConnectorPlan(number=1, max_power_w=7_000, bays=["R1"])],
            ),
        ],
        locks=[LockPlan(code=f"{code}-L1", password="p", bay="R1")],
        cameras=[
            CameraPlan(code=f"{code}-CA", password="p", role="approach", lane="in"),
            CameraPlan(code=f"{code}-CB", password="p", role="bay", bays=["P1", "P2", "R1"]),
        ],
        smoke=[SmokePlan(code=f"{code}-M1", password="p", area="A")],
    )


class Rig:
    """A fleet, its clock, and what it published since the test last looked."""

    def __init__(self, clock: FixedClock, *, speed: float = 1.0, stations: list[StationPlan] | None = None) -> None:
        self.clock = clock
        plan = FleetPlan(mqtt_url="mqtt://127.0.0.1:9", speed=speed, stations=stations or [small_station()])
        self.fleet = Fleet(plan=plan, clock=clock)
        self.sent: list[Outgoing] = []
        self._seen = 0
        self._commands = 0
        for entry in self.fleet.entries.values():
            entry.device.sender = self

    def send(self, message: Outgoing) -> None:
        self.sent.append(message)

    def let_pass(self, seconds: float, *, step_s: float = 0.25) -> None:
        """Let wall time pass in ticks."""
        for _ in range(round(seconds / step_s)):
            self.clock.advance(seconds=step_s)
            self.fleet.tick(dt_s=step_s)

    def news(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Device, channel and payload of every message since the last call."""
        fresh, self._seen = self.sent[self._seen :], len(self.sent)
        found = []
        for message in fresh:
            topic = topics.parse(message.topic)
            found.append((topic.device, topic.channel, msgspec.json.decode(message.body)))
        return found

    def news_of(self, device: str) -> list[tuple[str, str, dict[str, Any]]]:
        """Everything a device has published since the beginning."""
        found = [(topics.parse(message.topic), message) for message in self.sent]
        return [(device, t.channel, msgspec.json.decode(m.body)) for t, m in found if t.device == device]

    def command(self, device: str, name: str, *, expires_in_s: float = 30, cmd_id: str = "", **args: Any) -> str:
        """Give a device a command as the bridge would; returns its id."""
        self._commands += 1
        cmd_id = cmd_id or f"c{self._commands}"
        target = self.fleet.entry(device).device
        expires_at = format_ts(target.now() + timedelta(seconds=expires_in_s))
        target.receive(msgspec.json.encode({"cmd_id": cmd_id, "name": name, "args": args, "expires_at": expires_at}))
        return cmd_id

    def park(self, plate: str = "京AD00001", *, bay: str = "P1", kind: Any = "bev-ncm", soc_pct: float = 40.0) -> Any:
        """A car in a bay of S1."""
        car = self.fleet.traffic.add_car(plate=plate, kind=kind, battery_wh=60_000, soc_pct=soc_pct)
        self.fleet.traffic.park(car=car, station="S1", bay=bay)
        return car

    def charge(self, *, session_id: str = "s1", soc_pct: float = 40.0, **args: Any) -> Any:
        """A car that charges at the first DC gun."""
        car = self.park(soc_pct=soc_pct)
        self.fleet.traffic.plug(car=car, charger=self.fleet.charger("S1-D1"), number=1)
        self.command("S1-D1", "start", connector=1, session_id=session_id, **args)
        return car


def conform(sent: list[Outgoing]) -> None:
    """Every message is within the contract, and `state` alone is retained."""
    for message in sent:
        topic = topics.parse(message.topic)
        messages.parse(topic.kind, topic.channel, message.body)
        assert message.retain == (topic.channel == "state")


def acks(news: list[tuple[str, str, dict[str, Any]]]) -> list[tuple[str, bool, str | None]]:
    """The acknowledgements among the news."""
    return [(body["cmd_id"], body["ok"], body.get("error")) for _, channel, body in news if channel == "ack"]


def events(news: list[tuple[str, str, dict[str, Any]]]) -> list[str]:
    """The event codes among the news, in order."""
    return [body["code"] for _, channel, body in news if channel == "event"]
