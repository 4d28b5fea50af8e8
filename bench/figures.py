"""How every benchmark prints: one line a figure, its ratio to a limit measured in the same run, p50 and p99 in ms."""

import statistics
from collections.abc import Sequence


def say(
    name: str,
    *,
    ours: float,
    limit: float,
    unit: str,
    took_ms: Sequence[float] = (),
    **more: object,
) -> None:
    """Print the figure: `NAME ratio=0.63 ours=… limit=… unit=… p50=… p99=…`; rates: higher is better."""
    parts = [f"ratio={ours / limit:.2f}", f"ours={_short(ours)}", f"limit={_short(limit)}", f"unit={unit}"]
    if took_ms:
        p50, p99 = percentiles(took_ms)
        parts += [f"p50={p50:.1f}", f"p99={p99:.1f}"]
    parts += [f"{key}={value}" for key, value in more.items()]
    print(f"{name} {' '.join(parts)}", flush=True)


def percentiles(took_ms: Sequence[float]) -> tuple[float, float]:
    """Return the 50th and the 99th percentile."""
    if len(took_ms) < 2:
        return took_ms[0], took_ms[0]
    cuts = statistics.quantiles(took_ms, n=100, method="inclusive")
    return cuts[49], cuts[98]


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"
