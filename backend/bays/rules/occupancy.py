"""Whether a bay is taken, from the lock's sensor and the bay camera, neither of which is always right or there."""

from typing import Literal

Occupancy = Literal["occupied", "free", "unknown"]


def combine(*, lock_car: bool | None, camera_car: bool | None) -> Occupancy:
    """Return `occupied` when either sees a car, `free` when at least one is sure and none objects, else `unknown`.

    A car that is there and not believed is worse than a bay that is thought taken, so one witness is enough for a car.
    """
    if lock_car is True or camera_car is True:
        return "occupied"
    if lock_car is False or camera_car is False:
        return "free"
    return "unknown"
