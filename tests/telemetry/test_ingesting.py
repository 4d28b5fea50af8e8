"""Samples into history and state: repeats, disorder and lateness change nothing."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.core import db
from backend.core.services import Services
from backend.telemetry import contacts
from backend.telemetry import service as telemetry
from backend.telemetry.ingesting import Item, store_batch
from tests.conftest import NOW
from tests.factories import stations as make
from tests.factories import telemetry as devices
from tests.factories.stations import Gun
from tests.jobs import run_due_jobs

pytestmark = pytest.mark.usefixtures("database")

STATUSES = ("available", "preparing", "charging", "finishing", "faulted")


@pytest.fixture
async def gun(database: object) -> Gun:
    return await make.add_gun(station_id=(await make.add_station()).id, kind="dc")


async def state_of(gun: Gun) -> telemetry.ConnectorState:
    return (await telemetry.connector_states(connector_ids=[gun.connector.id]))[gun.connector.id]


class TestStoreBatch:
    async def test_keeps_the_sample_and_makes_it_the_state(self, gun: Gun, now: datetime) -> None:
        await devices.measure(gun.charger, now=now, bms={**devices.BMS, "flags": ["soc_high"]}, meter_wh=4321)
        state = await state_of(gun)
        assert (state.status, state.meter_wh, state.soc_pct, state.temp_max_c) == ("charging", 4321, 50, 35)
        (reading,) = await telemetry.readings(
            connector_id=gun.connector.id, since=now, until=now + timedelta(seconds=1)
        )
        assert (reading.meter_wh, reading.flags, reading.clock_flagged) == (4321, ("soc_high",), False)

    async def test_gives_an_ac_sample_no_battery_values(self, gun: Gun, now: datetime) -> None:
        await devices.measure(gun.charger, now=now)
        state = await state_of(gun)
        assert (state.soc_pct, state.temp_max_c, state.cell_v_max) == (None, None, None)

    async def test_keeps_hours_by_status(self, gun: Gun, now: datetime) -> None:
        for minutes, status in ((0, "available"), (10, "charging"), (40, "faulted"), (60, "available")):
            await devices.measure(gun.charger, now=now + timedelta(minutes=minutes), status=status)
        (hours,) = await telemetry.connector_hours(
            connector_ids=[gun.connector.id], since=now, until=now + timedelta(minutes=90)
        )
        assert (hours.in_service_s, hours.delivering_s) == (70 * 60, 30 * 60)
        spell = await db.fetchrow("SELECT reason, started_at, ended_at FROM outage")
        assert spell is not None
        assert tuple(spell) == ("faulted", now + timedelta(minutes=40), now + timedelta(minutes=60))

    async def test_tells_of_each_change_of_status_once(self, gun: Gun, now: datetime) -> None:
        bodies = [
            devices.payload("charger", "telemetry", at=now + timedelta(seconds=n), seq=n, status=status)
            for n, status in enumerate(("available", "available", "charging"))
        ]
        for body in bodies:
            await devices.ingest(gun.charger, body, received_at=now + timedelta(seconds=3))
        await devices.ingest(gun.charger, *bodies, received_at=now + timedelta(seconds=4))
        rows = await db.fetch("SELECT payload FROM domain_event WHERE name = 'ConnectorStatusChanged' ORDER BY id")
        told = [msgspec.json.decode(row["payload"]) for row in rows]
        assert [(e["previous"], e["status"]) for e in told] == [("unknown", "available"), ("available", "charging")]

    async def test_passes_over_what_the_registry_does_not_know(self, gun: Gun, now: datetime) -> None:
        outcome = await devices.ingest(
            gun.charger,
            devices.payload("charger", "telemetry", at=now, connector=9),
            b"not json",
            devices.payload("charger", "telemetry", at=now),
            received_at=now,
        )
        assert outcome.refused == {"unknown_connector": 1, "not_json": 1}
        assert len(outcome.samples) == 1
        stranger = Item(gun.bay.id, "telemetry", now, b"{}")
        assert (await store_batch(items=[stranger], directory={}, now=now)).refused == {"unknown_device": 1}

    async def test_replaces_an_implausible_time_by_the_arrival(self, gun: Gun, now: datetime) -> None:
        await devices.measure(gun.charger, now=now)
        await devices.measure(gun.charger, now=now + timedelta(seconds=15), ts="1970-01-01T00:00:00Z")
        found = await telemetry.readings(connector_id=gun.connector.id, since=now, until=now + timedelta(hours=1))
        assert [(r.occurred_at, r.clock_flagged) for r in found] == [
            (now, False),
            (now + timedelta(seconds=15), True),
        ]

    async def test_orders_what_an_offline_charger_sends_late_by_its_own_time(self, gun: Gun, now: datetime) -> None:
        await devices.measure(gun.charger, now=now, seq=0)
        back = now + timedelta(hours=1)
        late = [
            devices.payload("charger", "telemetry", at=now + timedelta(minutes=n), seq=n, meter_wh=1000 + n)
            for n in range(1, 60)
        ]
        await devices.ingest(gun.charger, *late, received_at=back)
        found = await telemetry.readings(connector_id=gun.connector.id, since=now, until=now + timedelta(minutes=30))
        assert [r.meter_wh for r in found] == [1000 + n for n in range(30)]
        last = await telemetry.last_reading(connector_id=gun.connector.id, before=now + timedelta(minutes=30))
        assert last == found[-1]
        points = await telemetry.meter_points(
            connector_id=gun.connector.id, since=now, until=now + timedelta(minutes=30)
        )
        assert points == [(r.occurred_at, r.meter_wh) for r in found]
        long_after = await telemetry.last_reading(connector_id=gun.connector.id, before=now + timedelta(days=6))
        assert long_after is not None
        assert long_after.meter_wh == 1059

    async def test_refreshes_contact_by_a_state_that_repeats_and_counts_gaps(self, gun: Gun, now: datetime) -> None:
        await devices.measure(gun.charger, now=now, seq=0, status="available")
        later = now + timedelta(minutes=1)
        body = devices.payload("charger", "state", at=later, seq=3, connectors={"1": "faulted"})
        await devices.ingest(gun.charger, body, received_at=later, channel="state")
        known = (await telemetry.device_states(device_ids=[gun.charger.id]))[gun.charger.id]
        assert (known.last_seen_at, known.messages_lost, known.clock_offset_ms) == (later, 2, 0)
        assert (await state_of(gun)).status == "faulted"


class TestDisorder:
    """Duplicates and reordering of both lanes leave the state of the clean run."""

    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    async def test_leaves_the_same_final_state(self, gun: Gun, services: Services, data: st.DataObject) -> None:
        now = NOW
        plan = [
            (boot, seq, data.draw(st.sampled_from(("telemetry", "state"))), data.draw(st.sampled_from(STATUSES)))
            for boot in (1, 2)
            for seq in range(6)
        ]
        clean = await self._play(gun, services, [[message] for message in plan], now)
        shuffled = data.draw(st.permutations(plan + data.draw(st.lists(st.sampled_from(plan), max_size=12))))
        cuts = data.draw(st.integers(1, 6))
        batches = [shuffled[n::cuts] for n in range(cuts)]
        assert await self._play(gun, services, batches, now) == clean

    async def _play(
        self, gun: Gun, services: Services, batches: list[list[tuple[int, int, str, str]]], now: datetime
    ) -> dict[str, Any]:
        """Deliver batches from a clean start; returns the state and history they leave."""
        async with _undone():
            info = await contacts.load_device(device_id=gun.charger.id)
            for batch in batches:
                items = []
                for boot, seq, channel, status in batch:
                    body = self._body(boot, seq, channel, status, now)
                    if channel == "state":
                        await devices.store_message(gun.charger, "state", body, received_at=now)
                    else:
                        items.append(Item(gun.charger.id, "telemetry", now, body))
                await store_batch(items=items, directory={info.id: info}, now=now)
                await run_due_jobs(now=now, services=services, only="telemetry.device_message")
            state = await db.fetchrow(
                "SELECT status, status_boot, status_seq, boot, seq, meter_wh, power_w FROM connector_state"
            )
            device = await db.fetchrow("SELECT boot, seq, state_boot, state_seq, state::text FROM device_state")
            samples = await db.fetch("SELECT boot, seq, meter_wh FROM telemetry_sample ORDER BY boot, seq")
            return {
                "state": None if state is None else tuple(state),
                "device": None if device is None else tuple(device),
                "samples": [tuple(row) for row in samples],
                "reported": [
                    (r.boot, r.seq)
                    for r in await telemetry.readings(
                        connector_id=gun.connector.id, since=now - timedelta(days=1), until=now + timedelta(days=1)
                    )
                ],
            }

    @staticmethod
    def _body(boot: int, seq: int, channel: str, status: str, now: datetime) -> bytes:
        fields: dict[str, Any] = {"connectors": {"1": status}} if channel == "state" else {"status": status}
        if channel == "telemetry":
            fields["meter_wh"] = boot * 1000 + seq
        body = devices.payload("charger", channel, at=now, boot=boot, seq=seq, **fields)
        return msgspec.json.encode({**msgspec.json.decode(body), "msg_id": f"{boot}-{seq}"})


class _undone:  # noqa: N801  reads as a statement
    """Undo what the block wrote."""

    async def __aenter__(self) -> None:
        self._savepoint = db.transaction()
        await self._savepoint.__aenter__()

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> bool:
        failure = error or _UndoneError()
        undone = await self._savepoint.__aexit__(type(failure), failure, trace)
        return error is None and not undone


class _UndoneError(Exception):
    """Makes the savepoint roll back."""
