"""Which device may say what: topics checked against the registry (PostgreSQL view `bridge_device`), from memory."""

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

import asyncpg

from mqtt_bridge import screen, topics
from mqtt_bridge.screen import Numbers
from mqtt_bridge.topics import Topic, TopicRefused

FRESH_S = 30.0
"""A change is heard by NOTIFY and known at once; this is for one whose NOTIFY was lost with its connection."""
REFRESH_AT_MOST_EVERY_S = 1.0
NEVER = float("-inf")
LONG_AGO = -1e12


class Device(NamedTuple):
    id: UUID
    station_id: UUID
    kind: str
    station: str


class SaidByCar(NamedTuple):
    """What the car at a connector said at the start, as it is kept: a bridge that was restarted did not hear it."""

    chemistry: str
    temp_limit_c: float | None
    cell_v_limit: float | None


class Registry:
    """The devices by code, and what the screen judges their samples by. `monotonic` is a clock for ages, in seconds."""

    def __init__(self, *, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._devices: dict[str, Device] = {}
        self._known: dict[str, tuple[Topic, Device]] = {}
        self._revoked: frozenset[str] = frozenset()
        self._numbers: dict[UUID, Numbers] = {}
        self._said: dict[tuple[str, int], SaidByCar] = {}
        self._loaded_at = NEVER

    async def refresh(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        """Read the registry again."""
        revoked = await pool.fetch("SELECT code FROM bridge_device_revoked")
        rows = await pool.fetch("SELECT code, kind, station_code, device_id, station_id FROM bridge_device")
        numbers = await pool.fetch("SELECT station_id, rule, name, value FROM bridge_critical_number")
        said = await pool.fetch("SELECT code, number, chemistry, temp_limit_c, cell_v_limit FROM bridge_car_limits")
        by_station: dict[UUID, list[tuple[str, str, float]]] = {}
        for row in numbers:
            by_station.setdefault(row["station_id"], []).append((row["rule"], row["name"], row["value"]))
        self._numbers = {station_id: screen.strictest(held) for station_id, held in by_station.items()}
        self._said = {
            (row["code"], row["number"]): SaidByCar(row["chemistry"], row["temp_limit_c"], row["cell_v_limit"])
            for row in said
        }
        self._devices = {
            row["code"]: Device(row["device_id"], row["station_id"], row["kind"], row["station_code"]) for row in rows
        }
        self._revoked = frozenset(row["code"] for row in revoked)
        self._known.clear()
        self._loaded_at = self._monotonic()

    def numbers_of(self, station_id: UUID) -> Numbers:
        """From where on a sample of the station is critical."""
        return self._numbers.get(station_id, screen.DEFAULTS)

    def said_by_car(self, device: str, connector: int) -> SaidByCar | None:
        """What the car at a connector is known to have said when the registry was read."""
        return self._said.get((device, connector))

    def expire(self) -> None:
        """Have the registry read again before the next message: what a device may do has changed."""
        if self.is_loaded():
            self._loaded_at = LONG_AGO

    def is_loaded(self) -> bool:
        """Whether it was ever read."""
        return self._loaded_at > NEVER

    def is_stale(self) -> bool:
        """Whether it is time to read it again."""
        return self._monotonic() - self._loaded_at > FRESH_S

    def may_refresh(self) -> bool:
        """Whether an unknown device is a reason to read it again: not more than once a second."""
        return self._monotonic() - self._loaded_at > REFRESH_AT_MOST_EVERY_S

    def find(self, topic: str) -> tuple[Topic, Device]:
        """The parts of a topic and its device.

        Raises TopicRefused, beside the causes of `topics.parse` for `revoked_device`, `unknown_device`,
        `wrong_station`, `wrong_kind`.
        The broker's access rules refuse the same; this holds where they are wrong or old.
        """
        found = self._known.get(topic)
        if found is not None:
            return found
        parts = topics.parse(topic)
        device = self._devices.get(parts.device)
        if parts.device in self._revoked:
            raise TopicRefused("revoked_device", "the credentials of this device are revoked")
        if device is None:
            raise TopicRefused("unknown_device", "the registry has no active device of this code")
        if device.station != parts.station:
            raise TopicRefused("wrong_station", "the registry has this device at another station")
        if device.kind != parts.kind:
            raise TopicRefused("wrong_kind", f"the registry has this device as a {device.kind}")
        self._known[topic] = (parts, device)
        return parts, device
