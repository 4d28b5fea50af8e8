"""Figures as people read them; what nobody was there for is a dash, never a zero."""


def minutes(seconds: float | None) -> str:
    """Return seconds as minutes."""
    if seconds is None:
        return "–"
    return "0 min" if seconds == 0 else f"{seconds / 60:.1f} min"


def percent(value: float | None, digits: int = 0) -> str:
    """Return a share as a percentage, rounded."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def share(value: float | None) -> str:
    """Return a share that is compared with a promise: cut, not rounded, so that 98.999 % never reads as 99.0 %."""
    return "–" if value is None else f"{int(1000 * value + 1e-9) / 10:.1f} %"
