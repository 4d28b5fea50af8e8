"""`simulate`: arrivals a second of simulated weeks, over the bare heap that orders their events, in one process.

Ours plays whole weeks by the rules of the service: bookings, walk-ups, queue, locks, charges, moves. The limit orders
as many events (instant, number, a call that does nothing) by `heapq` and nothing else.
"""

import heapq
import os
import time
from datetime import timedelta
from functools import partial

from backend.simulation.demand import MONDAY, PRESETS
from backend.simulation.playing import simulate_week
from backend.simulation.station import made_up
from bench import figures

AGREEMENTS = int(os.environ.get("LINLI_BENCH_AGREEMENTS", "150"))
WEEKS = 12
SECOND = timedelta(seconds=1)


def bare(events: int) -> None:
    """Order and call so many events that do nothing."""
    heap = [(MONDAY + n * 7919 % 604_800 * SECOND, n, partial(int)) for n in range(events)]
    heapq.heapify(heap)
    while heap:
        _, _, act = heapq.heappop(heap)
        act()


def main() -> None:
    """Run the benchmark and print its line."""
    station, demand = made_up(), PRESETS["compound"]
    simulate_week(station, demand, agreements=AGREEMENTS, seed=0)
    arrivals, events, took, limit_s = 0, 0, [], 0.0
    for seed in range(1, WEEKS + 1):
        began = time.perf_counter()
        run = simulate_week(station, demand, agreements=AGREEMENTS, seed=seed)
        took.append(time.perf_counter() - began)
        assert all(arrival.outcome is not None for arrival in run.arrivals)
        arrivals, events = arrivals + len(run.arrivals), events + run.events
        # Turn about, so that a busy machine slows both alike.
        began = time.perf_counter()
        bare(run.events)
        limit_s += time.perf_counter() - began
    figures.say(
        "simulate",
        ours=arrivals / sum(took),
        limit=arrivals / limit_s,
        unit="arrivals/s",
        took_ms=[1000 * seconds for seconds in took],
        agreements=AGREEMENTS,
        events_per_arrival=round(events / arrivals, 1),
    )


if __name__ == "__main__":
    main()
