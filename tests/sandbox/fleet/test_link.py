"""The connection of a device: its bounded memory, and the real thing against a real broker."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from backend.core.clock import SystemClock
from backend.stations.rules import broker as rules
from sandbox.fleet.faults.catalogue import FaultArgs
from sandbox.fleet.fleet import Fleet
from sandbox.fleet.link import KEPT_MESSAGES, Broker, Outbox, Outgoing
from sandbox.fleet.plan import FleetPlan, SmokePlan, StationPlan
from sandbox.servers.mosquitto import BrokerUser, MosquittoServer
from sandbox.servers.mosquitto_program import NoMosquitto, find_mosquitto, programs_folder
from tests.sandbox.fleet.rig import small_station


def numbered(number: int) -> Outgoing:
    """A message that can be told apart."""
    return Outgoing("t", str(number).encode(), False)


class TestOutbox:
    @given(
        steps=st.lists(
            st.one_of(st.just("put"), st.just("send"), st.just("ack"), st.just("lose")), min_size=1, max_size=600
        )
    )
    def test_hands_over_every_kept_message_oldest_first_whatever_the_network_does(self, steps: list[str]) -> None:
        box, put, mid = Outbox(kept=20), 0, 0
        for step in steps:
            if step == "put":
                box.put(numbered(put))
                put += 1
            elif step == "send" and box.waiting:
                mid += 1
                box.sent(mid=mid, message=box.waiting.popleft())
            elif step == "ack" and box.in_flight:
                box.acknowledged(mid=next(iter(box.in_flight)))
            elif step == "lose":
                box.connection_lost()
        box.connection_lost()
        left = [int(message.body) for message in box.waiting]
        assert len(left) <= 20
        assert left == list(range(put - len(left), put))

    def test_keeps_the_newest_two_hundred(self) -> None:
        box = Outbox()
        for number in range(KEPT_MESSAGES + 50):
            box.put(numbered(number))
        assert [int(message.body) for message in box.waiting] == list(range(50, KEPT_MESSAGES + 50))
        assert box.lost == 50


class TestBroker:
    def test_reads_its_address(self) -> None:
        assert (Broker.from_url("mqtt://h:1884").host, Broker.from_url("mqtt://h:1884").port) == ("h", 1884)
        assert Broker.from_url("mqtts://h").port == 8883
        with pytest.raises(ValueError, match="mqtt://"):
            Broker.from_url("http://h:80")


@pytest.fixture(scope="module")
def broker(server_folder: Path) -> Iterator[MosquittoServer]:
    """A real Mosquitto with the passwords and access rules that the registry would give it."""
    try:
        program = find_mosquitto(folder=programs_folder(server_folder), say=print)
    except NoMosquitto as reason:
        pytest.skip(str(reason))
    server = MosquittoServer(folder=server_folder / "fleet-broker", program=program)
    plan = small_station()
    by_kind = {"charger": plan.chargers, "lock": plan.locks, "camera": plan.cameras, "smoke": plan.smoke}
    devices = [(kind, device.code) for kind, group in by_kind.items() for device in group]
    server.set_access(
        users=(BrokerUser(name="ear", password_hash=rules.hash_password("e"), rules=("topic readwrite #",)),),
        passwords=rules.password_file((code, rules.hash_password("p")) for _, code in devices),
        acl=rules.access_file(("S1", kind, code) for kind, code in devices),
    )
    server.start()
    yield server
    server.stop()


class Ear:
    """Hears everything on the broker, in the test's loop."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, dict[str, Any], bool]] = []
        self.news = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.on_message = lambda _c, _u, message: loop.call_soon_threadsafe(self._hear, message)
        self.client.username_pw_set("ear", "e")
        self.client.connect("127.0.0.1", port)
        self.client.subscribe("ev/v1/#", qos=1)
        self.client.loop_start()

    def _hear(self, message: mqtt.MQTTMessage) -> None:
        self.heard.append((message.topic, msgspec.json.decode(message.payload), message.retain))
        self.news.set()

    async def until(self, wanted: Any, timeout_s: float = 15.0) -> dict[str, Any]:
        """The first message for which `wanted(topic, body)` holds."""
        async with asyncio.timeout(timeout_s):
            while True:
                for topic, body, _ in self.heard:
                    if wanted(topic, body):
                        return body
                self.news.clear()
                await self.news.wait()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
async def fleet(broker: MosquittoServer) -> AsyncIterator[Fleet]:
    """One station, connected."""
    plan = FleetPlan(mqtt_url=f"mqtt://127.0.0.1:{broker.port}", speed=1, stations=[small_station()])
    running = Fleet(plan=plan, clock=SystemClock())
    await running.start()
    async with asyncio.timeout(10):
        await asyncio.gather(*(entry.link.up.wait() for entry in running.entries.values()))
    yield running
    await running.stop()


@pytest.fixture
async def ear(broker: MosquittoServer, fleet: Fleet) -> AsyncIterator[Ear]:
    """Somebody who listens, after the fleet has connected."""
    listening = Ear(broker.port)
    yield listening
    listening.close()


class TestLink:
    async def test_states_are_retained_for_who_comes_later(self, ear: Ear, fleet: Fleet) -> None:
        for code in fleet.entries:
            await ear.until(lambda topic, body, code=code: f"/{code}/state" in topic and body["online"])
        assert all(retained for topic, _, retained in ear.heard[: len(fleet.entries)])

    async def test_offline_leaves_the_last_will_and_returns_with_everything_oldest_first(
        self, ear: Ear, fleet: Fleet
    ) -> None:
        fleet.cause(name="offline", device="S1-M1", args=FaultArgs())
        will = await ear.until(lambda topic, body: "/S1-M1/state" in topic and body["online"] is False)
        assert will == {"online": False}
        device = fleet.entry("S1-M1").device
        for _ in range(30):
            device.publish_state()
        stored = list(range(device.seq - 30, device.seq))
        ear.heard.clear()
        fleet.cause(name="online", device="S1-M1", args=FaultArgs())
        await ear.until(lambda topic, body: "/S1-M1/state" in topic and body.get("seq") == stored[-1] + 1)
        got = [body["seq"] for topic, body, _ in ear.heard if "/S1-M1/" in topic and "seq" in body]
        again = [seq for seq in got if seq < stored[0]]  # what the broker had not acknowledged before
        assert got == [*again, *stored, stored[-1] + 1]

    async def test_a_command_that_came_while_offline_is_done_on_return(self, ear: Ear, fleet: Fleet) -> None:
        await ear.until(lambda topic, body: "/S1-L1/state" in topic)
        fleet.cause(name="offline", device="S1-L1", args=FaultArgs())
        await ear.until(lambda topic, body: "/S1-L1/state" in topic and body["online"] is False)
        ear.client.publish(
            "ev/v1/S1/lock/S1-L1/cmd",
            b'{"cmd_id":"late","name":"lower","args":{},"expires_at":"2100-01-01T00:00:00Z"}',
            qos=1,
        )
        await ear.until(lambda topic, body: body.get("cmd_id") == "late" and topic.endswith("/cmd"))
        fleet.cause(name="online", device="S1-L1", args=FaultArgs())
        answer = await ear.until(lambda topic, body: topic.endswith("/ack") and body["cmd_id"] == "late")
        assert answer["ok"] is True

    async def test_a_reboot_comes_back_by_itself_with_a_higher_boot(self, ear: Ear, fleet: Fleet) -> None:
        before = fleet.entry("S1-M1").device.boot
        fleet.cause(name="reboot", device="S1-M1", args=FaultArgs())
        back = await ear.until(lambda topic, body: "/S1-M1/state" in topic and body.get("boot", 0) > before)
        assert back["seq"] == 0
        assert back["online"] is True

    async def test_every_device_stays_within_the_access_rules_of_its_credential(self, ear: Ear, fleet: Fleet) -> None:
        car = fleet.traffic.add_car(plate="京AD00001", kind="bev-ncm", battery_wh=60_000, soc_pct=40)
        fleet.traffic.approach(car=car, station="S1")
        fleet.traffic.park(car=car, station="S1", bay="P1")
        fleet.traffic.plug(car=car, charger=fleet.charger("S1-D1"), number=1)
        await ear.until(lambda topic, body: body.get("code") == "plugged")
        await ear.until(lambda topic, body: topic.endswith("/telemetry") and body["status"] == "preparing")
        assert {code: entry.link.refused for code, entry in fleet.entries.items()} == dict.fromkeys(fleet.entries, 0)

    async def test_a_wrong_password_is_refused_and_counted(self, broker: MosquittoServer) -> None:
        plan = FleetPlan(
            mqtt_url=f"mqtt://127.0.0.1:{broker.port}",
            stations=[StationPlan(code="S1", name="x", smoke=[SmokePlan(code="S1-M1", password="wrong")])],
        )
        intruder = Fleet(plan=plan, clock=SystemClock())
        await intruder.start()
        link = intruder.entry("S1-M1").link
        async with asyncio.timeout(10):
            await link.refused_once.wait()
        assert not link.connected
        await intruder.stop()
