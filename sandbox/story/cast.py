"""Who is in the story, and what it remembers from step to step."""

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from sandbox.story.client import Person, Sandbox
from sandbox.story.meters import Meters
from sandbox.story.telling import Teller

STATION = "BJ-STORY-1"


@dataclass
class Car:
    """A car of the story."""

    plate: str
    battery_wh: int = 60_000
    vehicle_id: str = ""


@dataclass
class Story:
    """The cast and the threads of one telling. Residents are new people each time; the staff are the demo's."""

    teller: Teller
    http: httpx.AsyncClient
    sandbox: Sandbox
    meters: Meters
    tokens_file: Path
    home: dict[str, Any] = field(default_factory=dict)
    station: dict[str, Any] = field(default_factory=dict)
    tariff: dict[str, Any] = field(default_factory=dict)
    booking: dict[str, Any] = field(default_factory=dict)
    bobs_booking: dict[str, Any] = field(default_factory=dict)
    session: dict[str, Any] = field(default_factory=dict)
    walk_up: dict[str, Any] = field(default_factory=dict)
    bobs_inbox: Any = None
    bobs_push_token: str = ""

    def __post_init__(self) -> None:
        chance = random.SystemRandom()

        def resident(name: str) -> Person:
            return Person(name, f"139{chance.randrange(10**8):08d}", self.http, self.sandbox)

        def car() -> Car:
            return Car(plate=f"京AD{chance.randrange(10**5):05d}")

        self.alice, self.bob, self.charlie = resident("Alice"), resident("Bob"), resident("Charlie")
        self.alice_car, self.bob_car, self.charlie_car = car(), car(), car()
        self.fuel_car = Car(plate=f"京N{chance.randrange(10**5):05d}")
        self.wang = Person("Wang (guard)", "13800000011", self.http, self.sandbox)
        self.li = Person("Li (operator)", "13800000013", self.http, self.sandbox)
        self.qian = Person("Qian (operator, second person)", "13800000014", self.http, self.sandbox)

    def charlie_or_nobody(self) -> Person:
        """Return somebody who has no business with the others' objects."""
        return self.charlie if self.charlie.token else Person("nobody", "", self.http, self.sandbox)

    async def log_in_again(self, person: Person) -> None:
        """Log a member of staff in: by the refresh token of the last telling where it still works, else by SMS."""
        kept: dict[str, str] = json.loads(self.tokens_file.read_text()) if self.tokens_file.exists() else {}
        if token := kept.get(person.phone):
            answer = await self.http.post("/v1/auth/refresh", json={"refresh_token": token})
            if answer.is_success:
                tokens = answer.json()
                person.token, person.refresh_token = tokens["access_token"], tokens["refresh_token"]
        if not person.token:
            await person.log_in()
        kept[person.phone] = person.refresh_token
        self.tokens_file.touch(mode=0o600)
        self.tokens_file.write_text(json.dumps(kept))

    async def tidy(self) -> None:
        """Leave the station as it was, also after a step that failed: cars away, bookings given back."""
        for car in (self.alice_car, self.bob_car, self.charlie_car, self.fuel_car):
            await self.sandbox.http.post(f"/cars/{car.plate}/tow", json={})
        for person, booking in ((self.alice, self.booking), (self.bob, self.bobs_booking)):
            if booking:
                await person.send("POST", f"/v1/reservations/{booking['id']}/cancel", json={})
