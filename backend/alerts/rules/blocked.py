"""Decide whether the car in a bay should not be there."""

from typing import Literal, TypeAlias

BlockReason: TypeAlias = Literal["fuel", "foreign", "unreadable"]


def why_blocked(
    *,
    zone: str,
    plate_hash: bytes | None,
    energy_type: str,
    expected: frozenset[bytes],
    charging_here: bool,
) -> BlockReason | None:
    """Why a car blocks a resident bay, or None where it may stand there.

    Bookings and sessions are matched first: plate colour is a hint only, early and temporary plates of new-energy
    vehicles are not green (domain.md "Agreements"). A plate that could not be read is believed to be the expected one.
    """
    if zone != "resident" or charging_here:
        return None
    if plate_hash is not None:
        if plate_hash in expected:
            return None
        return "fuel" if energy_type == "fuel" else "foreign"
    if expected:
        return None
    return "fuel" if energy_type == "fuel" else "unreadable"
