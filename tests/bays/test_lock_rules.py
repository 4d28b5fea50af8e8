"""Ground locks: the order of events never leads to a lock that rises when it must not."""

from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.bays.rules import locks
from backend.bays.rules.locks import (
    MAX_ATTEMPTS,
    Acknowledged,
    CameraSaw,
    CheckRaiseAt,
    Complained,
    Lock,
    LowerWanted,
    NoteBlocked,
    RaiseDue,
    RaiseWanted,
    Reported,
    ReportFailure,
    SendLower,
    SendRaise,
    TimedOut,
    WentSilent,
)

T0 = datetime(2026, 6, 10, 2, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DELAY = 3 * MINUTE
STEP = 2 * MINUTE
"""Each event of the exhaustive runs comes two minutes after the one before: one is too soon, two are not."""


@dataclass(frozen=True)
class World:
    """A lock, and what a careful observer wrote down by himself without looking at the rules' own memory."""

    lock: Lock
    at: datetime = T0
    held: bool = False
    online: bool = False
    sensor: bool | None = None
    camera: bool | None = None
    safe_since: datetime | None = None
    felt_car: bool = False
    next_id: int = 1


EVENTS = (
    "up", "down, empty", "down, car", "down, unknown", "moving, empty", "error, empty", "offline", "silent",
    "camera car", "camera free", "camera blind", "lower", "check-in", "walk-up", "queue offer", "raise", "due", "ok",
    "refused: car", "refused: broken", "timeout", "answer of an overtaken command", "felt car", "raise error",
    "lower error", "forced", "power cut", "hold", "lift",
)  # fmt: skip
"""Lost answers are those that do not come: every order without "ok" after a command. A power cut lets the lock fall
and silences it.
"""
KEEPS_DOWN = {"check-in": 15 * MINUTE, "walk-up": 5 * MINUTE, "queue offer": 10 * MINUTE}
"""Everything that opens a bay for somebody, and how long it then waits for the car."""


def turn(name: str, world: World) -> tuple[object | None, World]:
    """Return the rules' input for an event, and the world after it as the observer saw it."""
    at = world.at + STEP
    now = replace(world, at=at)
    reports = {"up": False, "down, empty": False, "down, car": True, "down, unknown": None}
    reports |= {"moving, empty": False, "error, empty": False}
    event: object | None = None
    if name in reports:
        position = name.split(",")[0]
        event = Reported(at=at, position=position, car=reports[name], online=True)  # type: ignore[arg-type]
        if not now.online:
            now = replace(now, safe_since=None)
        now = replace(now, online=True, sensor=reports[name], felt_car=False)
    elif name == "offline":
        event = Reported(at=at, position="down", car=False, online=False)
        now = replace(now, online=False, sensor=None)
    elif name == "silent":
        event = WentSilent(at=at)
        now = replace(now, online=False, sensor=None)
    elif name.startswith("camera"):
        seen = {"camera car": True, "camera free": False, "camera blind": None}[name]
        event = CameraSaw(at=at, car=seen)
        now = replace(now, camera=seen)
    elif name == "lower":
        event = LowerWanted(at=at)
    elif name in KEEPS_DOWN:
        event = LowerWanted(at=at, keep_down_until=at + KEEPS_DOWN[name])
    elif name == "power cut":
        event = Reported(at=at, position="down", car=None, online=False)
        now = replace(now, online=False, sensor=None)
    elif name == "answer of an overtaken command":
        event = Acknowledged(at=at, command_id=UUID(int=10**9), ok=True)
    elif name == "raise":
        event = RaiseWanted(at=at)
    elif name == "due":
        event = RaiseDue(at=at, held=now.held)
    elif name in ("hold", "lift"):
        now = replace(now, held=name == "hold")
    elif name in ("felt car", "raise error", "lower error", "forced"):
        code = {"felt car": "refused_car"}.get(name, name.replace(" ", "_"))
        event = Complained(at=at, code=code)  # type: ignore[arg-type]
        now = replace(now, felt_car=now.felt_car or name == "felt car")
    elif world.lock.command_id is not None:
        command_id = world.lock.command_id
        if name == "ok":
            event = Acknowledged(at=at, command_id=command_id, ok=True)
        elif name == "timeout":
            event = TimedOut(at=at, command_id=command_id)
        else:
            error = name.removeprefix("refused: ")
            event = Acknowledged(at=at, command_id=command_id, ok=False, error=error)
            now = replace(now, felt_car=now.felt_car or (error == "car" and world.lock.target == "up"))
    safe = now.online and now.sensor is False and now.camera is not True and not now.felt_car
    return event, replace(now, safe_since=(now.safe_since or at) if safe else None)


def play(name: str, world: World) -> tuple[World, tuple[object, ...]]:
    """Let one event happen; commands get their number as the service would give it."""
    event, after = turn(name, world)
    if event is None:
        return after, ()
    lock, intents = locks.step(world.lock, event, delay=DELAY)  # type: ignore[arg-type]
    if any(isinstance(intent, SendLower | SendRaise) for intent in intents):
        lock = replace(lock, command_id=UUID(int=after.next_id))
        after = replace(after, next_id=after.next_id + 1)
    return replace(after, lock=lock), intents


def violations(name: str, after: World, intents: tuple[object, ...]) -> list[str]:
    """Return what is wrong with a raise that was just sent, judged by the observer alone."""
    if not any(isinstance(intent, SendRaise) for intent in intents):
        return []
    wrong = {
        "raised without its timer": name != "due",
        "raised under a safety hold": after.held,
        "raised while offline": not after.online,
        "raised under a car": after.sensor is True or after.camera is True or after.felt_car,
        "raised without knowing": after.sensor is None,
        "raised too soon": after.safe_since is None or after.at < after.safe_since + DELAY,
    }
    return [words for words, holds in wrong.items() if holds]


def age(world: World) -> World:
    """Return the world with all instants relative to now and clipped, so that equal situations are visited once."""

    def clip(at: datetime | None) -> datetime | None:
        return None if at is None else T0 + max(-8 * STEP, min(8 * STEP, at - world.at))

    lock = replace(
        world.lock,
        empty_since=clip(world.lock.empty_since),
        raise_due_at=clip(world.lock.raise_due_at),
        keep_down_until=clip(world.lock.keep_down_until),
        command_id=None if world.lock.command_id is None else UUID(int=1),
    )
    return replace(world, lock=lock, at=T0, safe_since=clip(world.safe_since), next_id=2)


def quiet() -> World:
    """A bay that has been empty for long, its lock down and its raise planned."""
    since = T0 - 8 * STEP
    lock = Lock(position="down", car=False, camera=False, online=True, empty_since=since, raise_due_at=T0)
    return World(lock=lock, online=True, sensor=False, camera=False, safe_since=since)


def raising() -> World:
    """The same bay with a raise under way."""
    world = quiet()
    lock = replace(world.lock, raise_due_at=None, target="up", command_id=UUID(int=1), attempts=1)
    return replace(world, lock=lock, next_id=2)


class TestEveryOrderOfEvents:
    def test_up_to_six_deep_never_raises_a_lock_that_must_stay_down(self) -> None:
        starts = [World(lock=Lock()), quiet(), raising()]
        queue = deque((start, 0) for start in starts)
        seen = set(starts)
        raises = 0
        while queue:
            world, depth = queue.popleft()
            for name in EVENTS:
                after, intents = play(name, world)
                assert violations(name, after, intents) == [], (name, world)
                raises += any(isinstance(intent, SendRaise) for intent in intents)
                known = age(after)
                if depth < 5 and known not in seen:
                    seen.add(known)
                    queue.append((known, depth + 1))
        assert raises > 50, "the search must reach raises, or it proves nothing"
        assert len(seen) > 3_000

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.sampled_from(EVENTS), min_size=10, max_size=60))
    def test_long_and_random_never_raises_a_lock_that_must_stay_down(self, names: list[str]) -> None:
        world = World(lock=Lock())
        for name in names:
            world, intents = play(name, world)
            assert violations(name, world, intents) == [], names

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.sampled_from(EVENTS), max_size=40))
    def test_always_lowers_when_somebody_asks_for_it(self, names: list[str]) -> None:
        world = World(lock=Lock())
        for name in names:
            world, _ = play(name, world)
        _, intents = play("lower", world)
        assert SendLower(attempt=1) in intents

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.sampled_from(EVENTS), max_size=40), st.sampled_from(sorted(KEEPS_DOWN)))
    def test_opens_for_a_check_in_a_walk_up_and_a_queue_offer_and_waits_for_the_car(
        self, names: list[str], opens: str
    ) -> None:
        world = World(lock=Lock())
        for name in names:
            world, _ = play(name, world)
        expected = world.lock.car is not True and world.lock.camera is not True
        world, intents = play(opens, world)
        assert SendLower(attempt=1) in intents
        until = world.at + KEEPS_DOWN[opens]
        while expected and world.at + STEP < until:
            world, intents = play("due", world)
            assert not any(isinstance(intent, SendRaise) for intent in intents)

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(st.sampled_from(EVENTS), max_size=40),
        st.sampled_from(["down, car", "camera car", "down, unknown", "silent"]),
    )
    def test_a_car_or_a_doubt_that_appears_turns_a_raise_round(self, names: list[str], appears: str) -> None:
        world = World(lock=Lock())
        for name in names:
            world, _ = play(name, world)
            if world.lock.target == "up":
                _, intents = play(appears, world)
                assert SendLower(attempt=1) in intents


def empty(**changes: object) -> Lock:
    """A lock that is down, with a bay known to be empty for long."""
    base = Lock(
        position="down", car=False, camera=False, online=True, empty_since=T0 - timedelta(hours=1), raise_due_at=T0
    )
    return replace(base, **changes)  # type: ignore[arg-type]


class TestRaising:
    def test_happens_when_everything_is_right(self) -> None:
        lock, intents = locks.step(empty(), RaiseDue(at=T0, held=False), delay=DELAY)
        assert intents == (SendRaise(attempt=1),)
        assert lock.target == "up"

    @pytest.mark.parametrize(
        ("changes", "held", "reason"),
        [
            ({}, True, "safety_hold"),
            ({"online": False}, False, "offline"),
            ({"car": True}, False, "car"),
            ({"camera": True}, False, "car"),
            ({"car": None}, False, "sensor_unknown"),
            ({"position": "error"}, False, "not_down"),
            ({"position": "unknown"}, False, "not_down"),
            ({"position": "moving"}, False, "not_down"),
            ({"target": "down"}, False, "command_under_way"),
            ({"empty_since": None}, False, "not_empty_long_enough"),
            ({"empty_since": T0 - DELAY + timedelta(seconds=1)}, False, "not_empty_long_enough"),
            ({"keep_down_until": T0 + MINUTE}, False, "somebody_expected"),
        ],
    )
    def test_is_refused_for_each_single_reason(self, changes: dict[str, object], held: bool, reason: str) -> None:
        lock = empty(**changes)
        assert locks.reasons_against_raising(lock, at=T0, held=held, delay=DELAY) == (reason,)
        _, intents = locks.step(lock, RaiseDue(at=T0, held=held), delay=DELAY)
        assert not any(isinstance(intent, SendRaise) for intent in intents)

    def test_is_planned_for_the_delay_after_the_bay_is_empty(self) -> None:
        there = Lock(position="down", car=True, online=True)
        lock, intents = locks.step(there, Reported(at=T0, position="down", car=False, online=True), delay=DELAY)
        assert intents == (CheckRaiseAt(due_at=T0 + DELAY),)
        assert lock.empty_since == T0

    def test_waits_for_the_one_who_is_expected(self) -> None:
        lock = empty(keep_down_until=T0 + 10 * MINUTE)
        _, intents = locks.step(lock, RaiseDue(at=T0, held=False), delay=DELAY)
        assert intents == (CheckRaiseAt(due_at=T0 + 10 * MINUTE),)

    def test_begins_its_wait_anew_after_an_offline_spell(self) -> None:
        lock, _ = locks.step(empty(), WentSilent(at=T0), delay=DELAY)
        lock, intents = locks.step(lock, Reported(at=T0 + MINUTE, position="down", car=False, online=True), delay=DELAY)
        assert intents == (CheckRaiseAt(due_at=T0 + MINUTE + DELAY),)
        _, intents = locks.step(lock, RaiseDue(at=T0 + 2 * MINUTE, held=False), delay=DELAY)
        assert intents == ()

    def test_refused_by_the_lock_because_of_a_car_is_not_tried_again_until_it_reports_an_empty_bay(self) -> None:
        raising = replace(empty(), target="up", command_id=UUID(int=7), attempts=1, raise_due_at=None)
        refusal = Acknowledged(at=T0, command_id=UUID(int=7), ok=False, error="car")
        lock, intents = locks.step(raising, refusal, delay=DELAY)
        assert intents == (NoteBlocked(reasons=("refused_car",)),)
        lock, intents = locks.step(lock, RaiseWanted(at=T0 + 20 * MINUTE), delay=DELAY)
        assert intents == ()
        lock, intents = locks.step(
            lock, Reported(at=T0 + 30 * MINUTE, position="down", car=False, online=True), delay=DELAY
        )
        assert intents == (CheckRaiseAt(due_at=T0 + 30 * MINUTE + DELAY),)

    def test_without_an_answer_is_checked_again_from_the_beginning_and_then_reported(self) -> None:
        lock, at = empty(), T0
        for number in range(1, MAX_ATTEMPTS + 1):
            lock, intents = locks.step(lock, RaiseDue(at=at, held=False), delay=DELAY)
            assert intents == (SendRaise(attempt=number),)
            lock = replace(lock, command_id=UUID(int=number))
            at += MINUTE
            lock, intents = locks.step(lock, TimedOut(at=at, command_id=UUID(int=number)), delay=DELAY)
            if number < MAX_ATTEMPTS:
                assert intents == (CheckRaiseAt(due_at=at + DELAY),)
                at += DELAY
        assert intents == (ReportFailure(error="up: no_answer"),)

    def test_whose_answer_was_lost_counts_as_done_when_the_lock_says_so(self) -> None:
        raising = replace(empty(), target="up", command_id=UUID(int=7), attempts=1, raise_due_at=None)
        lock, intents = locks.step(raising, Reported(at=T0, position="up", car=False, online=True), delay=DELAY)
        assert (lock.target, lock.command_id, lock.attempts, intents) == (None, None, 0, ())
        lock, intents = locks.step(lock, TimedOut(at=T0, command_id=UUID(int=7)), delay=DELAY)
        assert intents == ()

    def test_without_an_answer_is_called_back_when_a_car_comes(self) -> None:
        raising = replace(empty(), target="up", command_id=UUID(int=7), attempts=1, raise_due_at=None)
        lock, _ = locks.step(raising, TimedOut(at=T0, command_id=UUID(int=7)), delay=DELAY)
        _, intents = locks.step(lock, CameraSaw(at=T0 + MINUTE, car=True), delay=DELAY)
        assert intents == (SendLower(attempt=1),)


class TestLowering:
    def test_is_repeated_without_an_answer_and_then_reported(self) -> None:
        lock, intents = locks.step(empty(), LowerWanted(at=T0), delay=DELAY)
        sent = list(intents)
        for number in range(1, MAX_ATTEMPTS + 1):
            lock = replace(lock, command_id=UUID(int=number))
            lock, intents = locks.step(lock, TimedOut(at=T0, command_id=UUID(int=number)), delay=DELAY)
            sent += intents
        assert sent == [
            *(SendLower(attempt=n) for n in range(1, MAX_ATTEMPTS + 1)),
            ReportFailure(error="down: no_answer"),
        ]

    def test_whose_answer_was_lost_counts_as_done_when_the_lock_says_so(self) -> None:
        lock, _ = locks.step(empty(position="up"), LowerWanted(at=T0), delay=DELAY)
        lock = replace(lock, command_id=UUID(int=1))
        lock, _ = locks.step(lock, Reported(at=T0, position="down", car=False, online=True), delay=DELAY)
        assert lock.target is None
        _, intents = locks.step(lock, TimedOut(at=T0, command_id=UUID(int=1)), delay=DELAY)
        assert intents == ()

    def test_overtakes_a_raise_whose_answer_then_means_nothing(self) -> None:
        raising = replace(empty(), target="up", command_id=UUID(int=7), attempts=1, raise_due_at=None)
        lock, intents = locks.step(raising, LowerWanted(at=T0), delay=DELAY)
        assert intents == (SendLower(attempt=1),)
        lock = replace(lock, command_id=UUID(int=8))
        lock, intents = locks.step(lock, Acknowledged(at=T0, command_id=UUID(int=7), ok=True), delay=DELAY)
        assert (lock.target, intents) == ("down", ())

    def test_plans_the_raise_for_when_nobody_came(self) -> None:
        lock, _ = locks.step(empty(position="up"), LowerWanted(at=T0, keep_down_until=T0 + 15 * MINUTE), delay=DELAY)
        lock = replace(lock, command_id=UUID(int=1))
        _, intents = locks.step(lock, Acknowledged(at=T0, command_id=UUID(int=1), ok=True), delay=DELAY)
        assert intents == (CheckRaiseAt(due_at=T0 + 15 * MINUTE),)

    def test_for_a_car_that_is_here_already_expects_nobody_once_it_has_left(self) -> None:
        here = empty(car=True, empty_since=None, raise_due_at=None)
        lock, _ = locks.step(here, LowerWanted(at=T0, keep_down_until=T0 + 15 * MINUTE), delay=DELAY)
        lock = replace(lock, command_id=UUID(int=1))
        lock, _ = locks.step(lock, Acknowledged(at=T0, command_id=UUID(int=1), ok=True), delay=DELAY)
        left = Reported(at=T0 + MINUTE, position="down", car=False, online=True)
        _, intents = locks.step(lock, left, delay=DELAY)
        assert intents == (CheckRaiseAt(due_at=T0 + MINUTE + DELAY),)

    def test_that_jams_is_tried_again(self) -> None:
        lock, _ = locks.step(empty(position="up"), LowerWanted(at=T0), delay=DELAY)
        lock = replace(lock, command_id=UUID(int=1))
        _, intents = locks.step(lock, Complained(at=T0, code="lower_error"), delay=DELAY)
        assert intents == (SendLower(attempt=2),)
