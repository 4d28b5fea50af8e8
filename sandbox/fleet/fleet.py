"""The whole fleet in one process: builds every device of the plan, connects it, and lets time pass.

One asyncio loop carries hundreds of devices: paho clients without threads, one ticker for all physics, one for all
keep-alives. Actions of testers go through the methods here, so that each can tell what was published because of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from backend.core.clock import Clock
from sandbox.fleet.camera import Camera
from sandbox.fleet.charger import Charger
from sandbox.fleet.device import Device
from sandbox.fleet.errors import NotThere
from sandbox.fleet.faults.apply import apply_fault
from sandbox.fleet.faults.catalogue import FaultArgs
from sandbox.fleet.life import Life
from sandbox.fleet.link import Broker, Link, Outgoing
from sandbox.fleet.lock import Lock
from sandbox.fleet.memory import SAVE_EVERY_S, Memory
from sandbox.fleet.plan import FleetPlan, StationPlan
from sandbox.fleet.smoke import Smoke
from sandbox.fleet.traffic import Bay, Gun, Traffic

log = logging.getLogger("sandbox.fleet")

TICK_S: Final = 0.25
KEEP_ALIVE_EVERY_S: Final = 5.0
CONNECTS_AT_ONCE: Final = 24
LONGEST_STEP_S: Final = 5.0
"""A machine that slept does not make up for hours of physics at once."""
INTERVAL_S: Final = {"ac": 15.0, "dc": 5.0, "other": 60.0}
JOURNAL_KEPT: Final = 4000


class _Mailbox:
    """The sender of a device before its link exists; then the link."""

    link: Link

    def send(self, message: Outgoing) -> None:
        self.link.send(message)


@dataclass(kw_only=True)
class Entry:
    """A device with its connection."""

    device: Device
    link: Link


class Fleet:
    """All devices, cars and bays of a plan."""

    def __init__(self, *, plan: FleetPlan, clock: Clock, memory: Memory | None = None) -> None:
        self.plan = plan
        self.clock = clock
        self.memory = memory
        self.traffic = Traffic()
        self.entries: dict[str, Entry] = {}
        self.stations: dict[str, StationPlan] = {station.code: station for station in plan.stations}
        self.speeds: dict[str, float] = dict.fromkeys(self.stations, plan.speed)
        self.published = 0
        self.behind_s = 0.0
        self._journal: deque[tuple[int, str, dict[str, Any]]] = deque(maxlen=JOURNAL_KEPT)
        self._broker = Broker.from_url(plan.mqtt_url)
        self._gate = asyncio.Semaphore(CONNECTS_AT_ONCE)
        self._tasks: list[asyncio.Task[None]] = []
        for station in plan.stations:
            self._build(station)
        life_bays = [bay for bay in self.traffic.bays.values() if self.stations[bay.station].life]
        self.life = Life(traffic=self.traffic, bays=life_bays, seed=plan.seed)
        self.chargers = [entry.device for entry in self.entries.values() if isinstance(entry.device, Charger)]
        if memory is not None:
            memory.restore(self.chargers)

    # ------------------------------------------------------------------ building

    def _build(self, station: StationPlan) -> None:
        self.traffic.add_station(code=station.code, ambient_c=station.ambient_c)
        for charger in station.chargers:
            interval_s = charger.report_interval_s or INTERVAL_S[charger.kind]
            device = Charger(
                power_kind=charger.kind,
                connectors=charger.connectors,
                ambient_c=station.ambient_c,
                speed=self.plan.speed,
                **self._common(station, charger.code, interval_s),
            )
            self._connect(device, password=charger.password)
            for connector in charger.connectors:
                for code in connector.bays:
                    self._bay(station, code).guns.append(Gun(charger=device, number=connector.number))
        for lock in station.locks:
            ground = Lock(bay=lock.bay, **self._common(station, lock.code, lock.report_interval_s))
            self._connect(ground, password=lock.password)
            self._bay(station, lock.bay).lock = ground
        for camera in station.cameras:
            eye = Camera(
                role=camera.role,
                bays=camera.bays if camera.role == "bay" else [],
                lane=camera.lane,
                **self._common(station, camera.code, camera.report_interval_s),
            )
            self._connect(eye, password=camera.password)
            if camera.role == "approach":
                self.traffic.approaches[station.code].append(eye)
            for code in eye.bays:
                self._bay(station, code).cameras.append(eye)
        for smoke in station.smoke:
            detector = Smoke(
                area=smoke.area,
                ambient_c=station.ambient_c,
                **self._common(station, smoke.code, smoke.report_interval_s),
            )
            self._connect(detector, password=smoke.password)

    def _bay(self, station: StationPlan, code: str) -> Bay:
        return self.traffic.bay_of(station=station.code, code=code)

    def _common(self, station: StationPlan, code: str, interval_s: float | None) -> dict[str, Any]:
        return {
            "station": station.code,
            "code": code,
            "report_interval_s": interval_s or INTERVAL_S["other"],
            "clock": self.clock,
            "sender": _Mailbox(),
            "journal": self._note,
        }

    def _connect(self, device: Device, *, password: str) -> None:
        if device.code in self.entries:
            raise ValueError(f"the plan names device {device.code} twice")
        link = Link(
            broker=self._broker,
            code=device.code,
            password=password,
            command_topic=device.topic("cmd"),
            will=device.will,
            on_connect=device.connected,
            on_message=device.receive,
            gate=self._gate,
        )
        if isinstance(device.sender, _Mailbox):
            device.sender.link = link
        self.entries[device.code] = Entry(device=device, link=link)

    # ------------------------------------------------------------------ running

    async def start(self) -> None:
        """Connect every device and let time pass, until `stop`."""
        _allow_open_files(needed=len(self.entries) + 256)
        for entry in self.entries.values():
            entry.link.start()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._tick_for_ever()), loop.create_task(self._keep_alive_for_ever())]
        if self.memory is not None:
            self._tasks.append(loop.create_task(self._remember_for_ever(self.memory)))

    async def stop(self) -> None:
        """Cut all devices off, as when the power of the street fails."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        if self.memory is not None:
            self.memory.save(self.chargers, clean=True)
        await asyncio.gather(*(entry.link.stop() for entry in self.entries.values()))

    def tick(self, *, dt_s: float) -> None:
        """Let ``dt_s`` seconds of wall time pass for everything."""
        self.traffic.tick()
        if self.life.spots:
            self.life.tick(dt_s=dt_s, speeds=self.speeds)
        for entry in self.entries.values():
            entry.device.tick(dt_s=dt_s)

    async def _tick_for_ever(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            self.behind_s = max(0.0, now - last - TICK_S)
            self.tick(dt_s=min(LONGEST_STEP_S, now - last))
            last = now

    async def _keep_alive_for_ever(self) -> None:
        while True:
            for entry in list(self.entries.values()):
                entry.link.keep_alive()
            await asyncio.sleep(KEEP_ALIVE_EVERY_S)

    async def _remember_for_ever(self, memory: Memory) -> None:
        while True:
            memory.save(self.chargers)
            await asyncio.sleep(SAVE_EVERY_S)

    # ------------------------------------------------------------------ for testers

    def set_speed(self, *, speed: float, station: str | None = None) -> None:
        """Let physics run ``speed`` times as fast as the clock, at one station or at all; time stamps stay true."""
        if station is not None:
            self.traffic.check_station(station)
        for code in self.speeds if station is None else [station]:
            self.speeds[code] = speed
        for charger in self.chargers:
            charger.speed = self.speeds[charger.station]

    def entry(self, code: str) -> Entry:
        """The device of that code with its link; raises `NotThere`."""
        found = self.entries.get(code)
        if found is None:
            raise NotThere(
                code="no_device",
                detail=f"There is no simulated device {code}.",
                hint="GET /stations lists the devices of each station.",
            )
        return found

    def charger(self, code: str) -> Charger:
        """The charger of that code; raises `NotThere` for another kind too."""
        device = self.entry(code).device
        if not isinstance(device, Charger):
            raise NotThere(code="not_a_charger", detail=f"{code} is a {device.kind}.", hint="Name a charger.")
        return device

    def cause(self, *, name: str, device: str, args: FaultArgs) -> str:
        """Cause a fault at a device; returns a sentence on what happens."""
        entry = self.entry(device)
        return apply_fault(name=name, device=entry.device, link=entry.link, args=args)

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[dict[str, Any]]]:
        """Collect what is published while the block runs."""
        messages: list[dict[str, Any]] = []
        first = self.published
        yield messages
        messages.extend(
            {"topic": topic, "payload": payload} for number, topic, payload in self._journal if number >= first
        )

    def recent(self, *, device: str, limit: int = 20) -> list[dict[str, Any]]:
        """The newest messages of one device, oldest first."""
        part = f"/{device}/"
        found = [{"topic": topic, "payload": payload} for _, topic, payload in self._journal if part in topic]
        return found[-limit:]

    def _note(self, topic: str, payload: dict[str, Any]) -> None:
        self._journal.append((self.published, topic, payload))
        self.published += 1

    @property
    def connected(self) -> int:
        """How many devices are connected."""
        return sum(entry.link.connected for entry in self.entries.values())


def _allow_open_files(*, needed: int) -> None:
    """Raise the soft limit of open files where it is below one socket for each device."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < needed:
            log.warning("only %d files may be open; %d devices need more: raise `ulimit -n`", allowed, needed)
