"""What messages, silences and wishes do to a session, in every order."""

from datetime import timedelta
from itertools import product

import pytest

from backend.charging.rules.states import (
    OPEN,
    ConnectorBecame,
    DeviceEnded,
    DeviceStarted,
    EndOverdue,
    SessionState,
    Signal,
    StartAccepted,
    StartOverdue,
    StartRefused,
    StartUnanswered,
    Status,
    StopAsked,
    StopUnanswered,
    decide,
)
from backend.charging.rules.words import end_template, reason_of
from backend.notifications.rules.texts import TEMPLATES

SIGNALS: list[Signal] = [
    StartAccepted(),
    StartRefused("busy"),
    StartUnanswered(),
    StopUnanswered(),
    DeviceStarted(),
    DeviceEnded("done"),
    ConnectorBecame("charging"),
    ConnectorBecame("finishing"),
    ConnectorBecame("faulted"),
    ConnectorBecame("unknown"),
    StopAsked("resident"),
    StartOverdue(),
    EndOverdue("available", timedelta(minutes=1)),
    EndOverdue("charging", timedelta(minutes=1)),
    EndOverdue("unknown", timedelta(days=2)),
]


def run(*signals: Signal) -> tuple[SessionState, list[str], str | None]:
    """Apply signals to a fresh session; returns its state, every intent in order and the last reason."""
    state, intents, reason = SessionState("requested", starts_sent=1), [], None
    for signal in signals:
        decision = decide(state, signal)
        state, reason = decision.state, decision.reason or reason
        intents.extend(decision.intents)
    return state, [str(intent) for intent in intents], reason


class TestEndTemplate:
    @pytest.mark.parametrize(
        ("reason", "template"),
        [
            ("target", "charge_target_reached"),
            ("car_full", "session_ended"),
            ("resident", "session_ended"),
            ("fault", "charge_interrupted"),
            ("leakage", "charge_interrupted"),
            ("something new", "session_ended"),
        ],
    )
    def test_names_a_message_that_exists(self, reason: str, template: str) -> None:
        assert end_template(reason) == template
        assert template in TEMPLATES
        assert reason_of(reason)


class TestASession:
    @pytest.mark.parametrize(
        ("signals", "status", "intents"),
        [
            ([StartAccepted(), DeviceStarted(), DeviceEnded("full")], "ended", ["announce_start", "announce_end"]),
            ([DeviceStarted(), StartAccepted()], "charging", ["announce_start"]),
            ([StartUnanswered(), DeviceStarted()], "charging", ["send_start", "announce_start"]),
            ([StartUnanswered(), StartUnanswered()], "requested", ["send_start"]),
            (
                [StartUnanswered(), StartUnanswered(), StartOverdue()],
                "failed",
                ["send_start", "send_stop", "announce_failure"],
            ),
            ([StartRefused("fault")], "failed", ["announce_failure"]),
            ([StartAccepted(), ConnectorBecame("charging"), DeviceStarted()], "charging", ["announce_start"]),
            ([StartAccepted(), StopAsked("resident")], "ending", ["send_stop"]),
            ([DeviceStarted(), ConnectorBecame("finishing")], "ending", ["announce_start"]),
            ([DeviceStarted(), ConnectorBecame("unknown")], "charging", ["announce_start"]),
            ([DeviceEnded("lost start")], "ended", ["announce_start", "announce_end"]),
        ],
        ids=[
            "goes well", "lost ack", "late start after a resend", "resends once", "device never answers", "refused",
            "started seen by state", "stopped before it started", "ended without a report", "charger offline",
            "start report lost",
        ],
    )  # fmt: skip
    def test_goes_where_its_signals_lead(self, signals: list[Signal], status: Status, intents: list[str]) -> None:
        state, done, _ = run(*signals)
        assert (state.status, done) == (status, intents)

    def test_that_starts_after_it_was_given_up_is_stopped_and_billed(self) -> None:
        state, intents, reason = run(StartOverdue(), DeviceStarted(), DeviceEnded("remote"))
        assert (state.status, state.started, reason) == ("ended", True, "remote")
        assert intents == ["send_stop", "announce_failure", "announce_start", "send_stop", "announce_end"]

    def test_whose_end_is_never_reported_ends_by_the_connectors_state(self) -> None:
        state, _, reason = run(DeviceStarted(), StopAsked("resident"), EndOverdue("finishing", timedelta(seconds=20)))
        assert (state.status, reason) == ("ended", "resident")

    def test_on_a_charger_out_of_reach_stays_open_for_a_day_and_then_goes_to_review(self) -> None:
        state, _, _ = run(DeviceStarted(), StopAsked("resident"), EndOverdue("unknown", timedelta(hours=5)))
        assert state.status == "ending"
        last = decide(state, EndOverdue("unknown", timedelta(hours=24)))
        assert (last.state.status, last.unclear) == ("ended", True)

    def test_stopped_before_it_ever_started_fails_and_is_not_billed(self) -> None:
        state, intents, _ = run(StopAsked("resident"), EndOverdue("available", timedelta(minutes=1)))
        assert (state.status, state.started, intents[-1]) == ("failed", False, "announce_failure")

    def test_keeps_its_promises_in_every_order_of_four_signals(self) -> None:
        for signals in product(SIGNALS, repeat=4):
            state, intents, _ = run(*signals)
            assert intents.count("announce_start") <= 1, signals
            assert intents.count("announce_end") <= 1, signals
            assert intents.count("send_start") <= 1, signals
            assert ("announce_end" in intents) == (state.status == "ended"), signals
            assert state.started == ("announce_start" in intents), signals
            if state.status == "failed":
                assert not state.started, signals
            if state.status == "charging":
                assert state.status in OPEN and "send_stop" not in intents, signals
