"""`rules`: DC readings a second through all rules, over decoding the same messages with msgspec, in one process.

Ours is what ingest calls with stored samples (`alerts.evaluate_samples`): every rule of the safety table for every
reading, with the car's limits and the watches kept in the database. The limit decodes the same messages into the same
structs and does nothing with them. One car in a hundred runs hot, so that rules also fire. Both are counted in seconds
of this process's CPU: ingest waits for PostgreSQL beside its work, not instead. p50 and p99 are a batch's own time.
"""

import gc
import os
import random
import time
from datetime import datetime, timedelta

import msgspec
import uvloop

from backend.alerts.service import SampleEvaluator
from backend.core.clock import SystemClock
from backend.telemetry.service import Sample
from bench import figures
from bench.ground import Ground, ground
from mqtt_bridge import messages
from mqtt_bridge.messages import ChargerTelemetry
from tests.factories.stations import Gun, add_gun, add_station

GUNS = 100
READINGS = int(os.environ.get("LINLI_BENCH_READINGS", "60000"))
BATCH = 1000
EVERY = timedelta(seconds=5)


def payloads(*, start: datetime) -> list[tuple[int, datetime, bytes]]:
    """(gun, time, message): sessions that charge and warm up; every hundredth car passes its limit."""
    chance = random.Random(7)
    made = []
    for n in range(READINGS):
        gun, turn = n % GUNS, n // GUNS
        at = start + turn * EVERY
        hot = gun == 7 and turn > 100
        temp = 66 if hot else round(28 + min(turn, 200) / 20 + chance.random() * 2)
        body = {
            "msg_id": f"1-{turn}",
            "boot": 1,
            "seq": turn,
            "ts": messages.format_ts(at),
            "connector": 1,
            "status": "charging",
            "meter_wh": 100_000 + 66 * turn,
            "power_w": 48_000,
            "voltage_v": round(390 + chance.random() * 20, 1),
            "current_a": 119.9,
            "gun_temp_c": 41.5,
            "cabinet_temp_c": 38.0,
            "insulation_ohm_per_v": 1000.0,
            "bms": {
                "soc_pct": min(95.0, 20 + turn / 20),
                "pack_v": round(380 + chance.random() * 20, 1),
                "pack_a": 119.7,
                "cell_v_max": round(3.5 + chance.random() / 20, 3),
                "cell_v_min": 3.45,
                "temp_max_c": temp,
                "temp_min_c": temp - 3,
                "remaining_min": 25,
                "flags": [],
            },
        }
        made.append((gun, at, msgspec.json.encode(body)))
    return made


def as_sample(gun: Gun, at: datetime, reading: ChargerTelemetry) -> Sample:
    """A sample as ingest hands it on."""
    return Sample(
        connector_id=gun.connector.id,
        device_id=gun.charger.id,
        device_code=gun.charger.code,
        station_id=gun.charger.station_id,
        occurred_at=at,
        received_at=at,
        clock_flagged=False,
        reading=reading,
    )


async def run(made: Ground) -> None:
    """Decode everything, then judge everything."""
    clock = SystemClock()
    async with made.opened():
        station = await add_station()
        guns = [await add_gun(station_id=station.id, kind="dc", with_lock=False) for _ in range(GUNS)]
        messages_ = payloads(start=clock.now() - EVERY * (READINGS // GUNS))
        decode = msgspec.json.Decoder(ChargerTelemetry).decode
        evaluator = SampleEvaluator()
        findings, limit_s, ours_s, took = 0, 0.0, 0.0, []
        gc.collect()
        gc.freeze()  # the messages of the whole run are here, where ingest holds a batch
        # Turn about, so that a busy machine slows both alike.
        for first in range(0, READINGS, BATCH):
            batch = messages_[first : first + BATCH]
            began = time.process_time()
            readings = [decode(body) for _, _, body in batch]
            limit_s += time.process_time() - began
            samples = [as_sample(guns[gun], at, r) for (gun, at, _), r in zip(batch, readings, strict=True)]
            began, began_cpu = time.perf_counter(), time.process_time()
            findings += await evaluator.evaluate(samples, clock.now())
            ours_s += time.process_time() - began_cpu
            took.append(time.perf_counter() - began)
        assert findings > 0, "no rule fired on the hot car"
    figures.say(
        "rules",
        ours=READINGS / ours_s,
        limit=READINGS / limit_s,
        unit="readings/s",
        took_ms=[1000 * seconds for seconds in took],
        batch=BATCH,
    )


def main() -> None:
    """Run the benchmark and print its line."""
    with ground() as made:
        uvloop.run(run(made))


if __name__ == "__main__":
    main()
