"""`python -m sandbox`: the providers, the simulated devices and the control port, in one process and one loop.

Writes `sandbox.json` into the state folder when it listens: the control port's address and the LINLI_* settings by
which the service reaches the providers. Devices start as soon as the plan exists, because the seed that writes it
needs the providers' merchant keys first. SIGTERM and SIGINT stop everything.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from pathlib import Path

import msgspec

from backend.core.clock import SystemClock
from sandbox import providers
from sandbox.control.app import ControlPort
from sandbox.control.desk import Desk
from sandbox.fleet.fleet import Fleet
from sandbox.fleet.memory import Memory
from sandbox.fleet.plan import FleetPlan, read_plan
from sandbox.servers import processes

log = logging.getLogger("sandbox")

LOOK_FOR_PLAN_S = 0.3


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What `sandbox.json` says: where the sandbox listens and how the service reaches its providers."""

    pid: int
    control_url: str
    settings: dict[str, str]


def read_ready(*, path: Path) -> Ready:
    """Read `sandbox.json`; raises FileNotFoundError before the sandbox listens."""
    return msgspec.json.decode(path.read_bytes(), type=Ready)


def _write_private(path: Path, body: bytes) -> None:
    temporary = path.with_suffix(".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(body)
    temporary.replace(path)


async def run(*, state_dir: Path, plan_path: Path, host: str, port: int, ports: providers.Ports) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    ready_path = state_dir / "sandbox.json"
    ready_path.unlink(missing_ok=True)
    outside = await providers.start(state_dir=state_dir, host=host, ports=ports)
    desk = Desk(providers=outside)
    control = ControlPort(desk=desk, host=host, port=port or processes.free_port(preferred=None))
    await control.start()
    _write_private(
        ready_path,
        msgspec.json.encode(Ready(pid=os.getpid(), control_url=control.url, settings=outside.settings)),
    )
    log.info("the sandbox listens at %s", control.url)
    fleet = None
    try:
        plan = await _wait_for_plan(plan_path, stop)
        if plan is not None:
            fleet = Fleet(plan=plan, clock=SystemClock(), memory=Memory(path=state_dir / "fleet_meters.json"))
            await fleet.start()
            desk.seat_fleet(fleet)
            log.info("%d devices at %d stations start", len(fleet.entries), len(plan.stations))
        await stop.wait()
    finally:
        ready_path.unlink(missing_ok=True)
        await control.stop()
        if fleet is not None:
            await fleet.stop()
        await outside.close()


async def _wait_for_plan(path: Path, stop: asyncio.Event) -> FleetPlan | None:
    """The plan, when it exists; None when told to stop before."""
    while not stop.is_set():
        if path.exists():  # noqa: ASYNC240 - one stat call a third of a second
            return read_plan(path=path)
        await asyncio.sleep(LOOK_FOR_PLAN_S)
    return None


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--state-dir", type=Path, required=True, help="folder of keys, orders and sandbox.json")
    parser.add_argument("--plan", type=Path, help="plan of the fleet (default: fleet.json in the state folder)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="control port (0: a free one)")
    for name in ("wechat-pay", "wechat", "apns", "aliyun"):
        parser.add_argument(f"--{name}-port", type=int, default=0, help=f"port of the {name} server (0: a free one)")
    parser.add_argument("--log-level", default="INFO")
    options = parser.parse_args()
    logging.basicConfig(level=options.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    options.state_dir.mkdir(parents=True, exist_ok=True)
    asyncio.run(
        run(
            state_dir=options.state_dir,
            plan_path=options.plan or options.state_dir / "fleet.json",
            host=options.host,
            port=options.port,
            ports=providers.Ports(
                wechat_pay=options.wechat_pay_port,
                wechat=options.wechat_port,
                apns=options.apns_port,
                aliyun=options.aliyun_port,
            ),
        )
    )


if __name__ == "__main__":
    main()
