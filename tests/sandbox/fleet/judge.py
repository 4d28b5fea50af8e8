"""What the service's own safety rules make of the fleet's messages."""

from datetime import datetime
from typing import Any

from backend.alerts.rules.model import CarLimits
from backend.alerts.rules.quantities import Battery, Sample
from backend.alerts.rules.watch import ConnectorWatch


def sample_of(body: dict[str, Any]) -> Sample:
    """A telemetry message as the rules see it."""
    bms = body.get("bms")
    battery = None
    if bms is not None:
        battery = Battery(
            soc_pct=bms["soc_pct"],
            pack_v=bms["pack_v"],
            pack_a=bms["pack_a"],
            cell_v_max=bms["cell_v_max"],
            temp_max_c=bms["temp_max_c"],
            temp_min_c=bms["temp_min_c"],
            flags=tuple(bms["flags"]),
        )
    return Sample(
        at=datetime.fromisoformat(body["ts"]),
        boot=body["boot"],
        seq=body["seq"],
        status=body["status"],
        meter_wh=body["meter_wh"],
        power_w=body["power_w"],
        gun_temp_c=body["gun_temp_c"],
        cabinet_temp_c=body["cabinet_temp_c"],
        insulation_ohm_per_v=body.get("insulation_ohm_per_v"),
        battery=battery,
    )


def limits_of(bms: dict[str, Any]) -> CarLimits:
    """The car's limits as the rules see them."""
    return CarLimits(
        chemistry=bms["chemistry"],
        temp_limit_c=bms["temp_limit_c"],
        cell_v_limit=bms["cell_v_limit"],
        capacity_wh=bms["capacity_wh"],
    )


def watch_of(
    watches: dict[tuple[str, int], ConnectorWatch], device: str, body: dict[str, Any], kind: str
) -> ConnectorWatch:
    """The watch of the message's connector, made on first mention."""
    key = (device, body["connector"])
    if key not in watches:
        watches[key] = ConnectorWatch(kind=kind)
    return watches[key]
