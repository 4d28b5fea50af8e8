"""How long a claim holds its connector, and until when a walk-up may stay, by tables of cases."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from backend.reservations.rules.periods import BookingTerms, held_until
from backend.reservations.rules.walk_ups import decide_walk_up, held_for
from backend.reservations.rules.words import ClaimKind, ClaimView

NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
TERMS = BookingTerms()
HOUR = timedelta(hours=1)
HERE = UUID(int=1)


def claim(kind: ClaimKind, *, starts_at: datetime, ends_at: datetime) -> ClaimView:
    """A claim on the one connector of these cases."""
    return ClaimView(
        id=uuid4(),
        connector_id=HERE,
        station_id=HERE,
        bay_id=None,
        plate_hash=b"x",
        kind=kind,
        reference_id=None,
        starts_at=starts_at,
        ends_at=ends_at,
        held_until=held_for(kind, ends_at, TERMS),
    )


class TestHeldFor:
    @pytest.mark.parametrize(
        ("kind", "gap"),
        [
            ("booking", timedelta(minutes=10)),
            ("walk_up", timedelta(minutes=10)),
            ("offer", timedelta(0)),
            ("maintenance", timedelta(0)),
        ],
    )
    def test_gives_cars_time_to_leave(self, kind: ClaimKind, gap: timedelta) -> None:
        assert held_for(kind, NOON, TERMS) == NOON + gap


class TestDecideWalkUp:
    @pytest.mark.parametrize(
        ("zone", "has_agreement", "next_in", "answer"),
        [
            ("resident", False, None, "agreement_needed"),
            ("public", False, None, NOON + 2 * HOUR),
            ("resident", True, None, NOON + 2 * HOUR),
            ("resident", True, timedelta(hours=3), NOON + 2 * HOUR),
            ("resident", True, timedelta(hours=1), NOON + timedelta(minutes=50)),
            ("resident", True, timedelta(minutes=40), NOON + timedelta(minutes=30)),
            ("resident", True, timedelta(minutes=39), "too_little_time"),
        ],
    )
    def test_leaves_the_next_claim_its_gap(
        self, zone: str, has_agreement: bool, next_in: timedelta | None, answer: object
    ) -> None:
        decision = decide_walk_up(
            zone="resident" if zone == "resident" else "public",
            has_agreement=has_agreement,
            holders=[],
            next_starts_at=None if next_in is None else NOON + next_in,
            longest=2 * HOUR,
            now=NOON,
            terms=TERMS,
        )
        assert decision == answer
        if isinstance(decision, datetime) and next_in is not None:
            assert held_until(decision, TERMS) <= NOON + next_in

    @pytest.mark.parametrize(
        ("kind", "answer"),
        [("offer", NOON + HOUR), ("walk_up", "taken"), ("booking", "taken"), ("maintenance", "taken")],
    )
    def test_lets_nobody_in_beside_a_holder_but_an_offer(self, kind: ClaimKind, answer: object) -> None:
        holder = claim(kind, starts_at=NOON - HOUR, ends_at=NOON + HOUR)
        decision = decide_walk_up(
            zone="resident",
            has_agreement=True,
            holders=[holder],
            next_starts_at=None,
            longest=HOUR,
            now=NOON,
            terms=TERMS,
        )
        assert decision == answer

    @pytest.mark.parametrize(
        ("opens", "closes", "answer"),
        [
            (8 * 60, 20 * 60, NOON + 2 * HOUR),
            (8 * 60, 13 * 60, NOON + HOUR),
            (8 * 60, 12 * 60 + 29, "too_little_time"),
            (8 * 60, 12 * 60, "closed"),
            (13 * 60, 20 * 60, "closed"),
            (22 * 60, 13 * 60, NOON + HOUR),
        ],
    )
    def test_ends_with_the_opening_hours(self, opens: int, closes: int, answer: object) -> None:
        terms = BookingTerms(open_from_min=opens, open_to_min=closes)
        found = decide_walk_up(
            zone="public",
            has_agreement=False,
            holders=(),
            next_starts_at=None,
            longest=2 * HOUR,
            now=NOON,
            terms=terms,
        )
        assert found == answer
