"""Checks of a provider's callback that its library leaves to us: age and serial."""

WINDOW_S = 300


def is_fresh(*, timestamp: str, now_s: float) -> bool:
    """Say whether a callback was signed within ±5 minutes of now (a two-year-old one still verifies)."""
    return (
        timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12 and abs(now_s - int(timestamp)) <= WINDOW_S
    )
