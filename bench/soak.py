"""`soak [MINUTES]`: the whole service under steady load; memory of each process at the start, the end, and its slope.

`LINLI_BENCH_LOAD` messages a second (2,000 is the full size) for 20 minutes, or as many as the argument says. The start
is taken after the first tenth, when all pools are warm. The line of the whole compares what was said with what is in
PostgreSQL: nothing may be missing. The slope is a straight line through all measurements, in MiB an hour; `cores` is
the CPU used per second. `drained_after_s` says how far behind the service was at the end.
"""

import asyncio
import os
import statistics
import sys
import time

import psutil
import uvloop

from bench.ground import Ground, ground
from bench.load import Crowd, count_when_drained

LOAD = float(os.environ.get("LINLI_BENCH_LOAD", "2000"))
SAMPLES = 60
ROLES = ("api", "bridge", "ingest", "worker")
MIB = 1024 * 1024


def families(made: Ground) -> dict[str, list[psutil.Process]]:
    """Each process of the service and each server with its children; `load` is this one: it speaks for the devices."""
    broker = None if made.broker is None else made.broker.pid
    pids = {
        **{name: made.children[name].pid for name in ROLES},
        "postgres": made.postgres.pid,
        "valkey": made.valkey.pid,
        "broker": broker,
    }
    found = {name: psutil.Process(pid) for name, pid in pids.items() if pid is not None}
    return {name: [top, *top.children(recursive=True)] for name, top in found.items()} | {"load": [psutil.Process()]}


def memory(made: Ground) -> dict[str, float]:
    """MiB of each."""
    return {name: sum(map(_unique, family)) / MIB for name, family in families(made).items()}


def cpu_s(made: Ground) -> dict[str, float]:
    """Seconds of CPU that each has used."""
    return {name: sum(map(_used_s, family)) for name, family in families(made).items()}


def _used_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0.0
    return float(times.user + times.system)


def _unique(process: psutil.Process) -> int:
    """Memory that is this process's alone: PostgreSQL's share their buffers."""
    try:
        return int(process.memory_full_info().uss)
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0


async def run(made: Ground, *, minutes: float) -> None:
    """Load and measure."""
    crowd = Crowd(made.broker_port)
    async with made.opened():
        await crowd.register(stations=40, chargers=10)
    made.launch(*ROLES)
    await asyncio.to_thread(made.wait_for_api)
    crowd.connect()
    crowd.start(rate=LOAD)
    began = time.monotonic()
    ends = began + minutes * 60
    warm = began + minutes * 6
    seen: list[tuple[float, dict[str, float]]] = []
    used: dict[str, float] = {}
    while (now := time.monotonic()) < ends:
        if now >= warm:
            used = used or cpu_s(made)
            seen.append((now, memory(made)))
        await asyncio.sleep(minutes * 60 / SAMPLES)
    cores = {
        name: (total - used.get(name, 0.0)) / (time.monotonic() - seen[0][0]) for name, total in cpu_s(made).items()
    }
    crowd.stop()
    said_in = time.monotonic() - began
    await asyncio.to_thread(crowd.flush)
    found, drained_s = await count_when_drained(made.postgres.app_url, crowd, timeout_s=600)
    crowd.close()
    said = crowd.samples + crowd.events
    print(
        f"soak minutes={minutes:g} said={said} unit=msg rate={said / said_in:.0f}/s asked={LOAD:.0f}/s"
        f" missing={found.missing(crowd)} doubled={found.doubled(crowd)} wrong_states={found.wrong_states}"
        f" held_jobs={found.failed_jobs} drained_after_s={drained_s:.1f}",
        flush=True,
    )
    for name in seen[0][1]:
        points = [(at, found[name]) for at, found in seen if name in found]
        slope = statistics.linear_regression([at / 3600 for at, _ in points], [mib for _, mib in points]).slope
        print(
            f"soak_{name} unit=MiB start={points[0][1]:.1f} end={points[-1][1]:.1f}"
            f" highest={max(mib for _, mib in points):.1f} slope_per_hour={slope:+.1f} cores={cores[name]:.2f}",
            flush=True,
        )
    if found.missing(crowd) or found.doubled(crowd):
        raise SystemExit("messages are missing or doubled")


def main() -> None:
    """Run for the minutes of the argument."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    with ground(broker=True) as made:
        uvloop.run(run(made, minutes=minutes))


if __name__ == "__main__":
    main()
