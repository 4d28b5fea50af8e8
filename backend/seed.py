"""Putting the demo in place: companies, cast, compounds, stations with their devices, prices, and the fleet's plan.

A composition root like the command line: it knows the features' services and the sandbox. Safe to repeat; when
everything is as the definitions say, it only writes the plan again.
"""

import csv
import hashlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from uuid import UUID

import msgspec

from backend.accounts import service as accounts
from backend.agreements.service import packages
from backend.core import db
from backend.core.auth import Grant, Staff
from backend.payments.service import merchants as merchant_accounts
from backend.stations import service as stations
from backend.stations.rules.broker import matches_password
from backend.stations.service import build, imports
from backend.tariffs import service as tariffs
from sandbox.demo import people, prices
from sandbox.demo.packages import PACKAGES
from sandbox.demo.people import PEOPLE, PRICE_AUTHORS
from sandbox.demo.stations import OPENED_ON, SETTINGS, STATIONS, DemoStation, GunGroup, moved
from sandbox.fleet.plan import (
    CameraPlan,
    ChargerPlan,
    ConnectorPlan,
    FleetPlan,
    LockPlan,
    SmokePlan,
    StationPlan,
    read_plan,
    write_plan,
)
from sandbox.providers import merchants

DATA = Path(__file__).parents[1] / "data"
COMMUNITIES_FILE = DATA / "beijing_communities.csv"
STATIONS_FILE = DATA / "shenzhen_stations.csv"
PLAN_FILE = "fleet.json"

Tell = Callable[[str, int, int], None]
"""Called with (what is being loaded, how many done, how many in all)."""


def _say_nothing(what: str, done: int, total: int) -> None:
    """Report to nobody."""


def definition_digest() -> str:
    """Return what the demo's definitions hash to; a station's `source` carries it, so that a change is noticed."""
    price_lists = [prices.prices_of(supply_class) for supply_class in sorted(prices.SPANS)]
    text = msgspec.json.encode([STATIONS, SETTINGS, PEOPLE, price_lists, PACKAGES])
    return "demo " + hashlib.sha256(text).hexdigest()[:16]


async def seed_demo(*, state_dir: Path, mqtt_url: str, now: datetime, on_progress: Tell = _say_nothing) -> None:
    """Load the demo and write `fleet.json`, readable by its owner only, into `state_dir`."""
    plan_file = state_dir / PLAN_FILE
    known = _known_passwords(plan_file)
    digest = definition_digest()
    if not await _is_in_place(digest, known):
        companies = await seed_people(now=now)
        await imports.import_communities(
            file=COMMUNITIES_FILE, now=now, on_progress=lambda d, t: on_progress("compounds", d, t)
        )
        await imports.import_stations(
            file=STATIONS_FILE, now=now, on_progress=lambda d, t: on_progress("public stations", d, t)
        )
        await seed_prices(companies=companies, now=now)
        await seed_packages(companies=companies, now=now)
        await seed_stations(
            companies=companies,
            passwords=known,
            digest=digest,
            now=now,
            on_progress=lambda d, t: on_progress("pilot stations", d, t),
        )
    await seed_merchants(state_dir=state_dir, now=now)
    write_plan(path=plan_file, plan=make_plan(mqtt_url=mqtt_url, passwords=known))


def _known_passwords(plan_file: Path) -> dict[str, str]:
    if not plan_file.exists():
        return {}
    try:
        plan = read_plan(path=plan_file)
    except msgspec.MsgspecError:
        return {}
    devices: list[ChargerPlan | LockPlan | CameraPlan | SmokePlan] = []
    for station in plan.stations:
        devices += [*station.chargers, *station.locks, *station.cameras, *station.smoke]
    return {device.code: device.password for device in devices}


async def _is_in_place(digest: str, passwords: dict[str, str]) -> bool:
    """Say whether every demo station stands as defined and every device's password in the plan is the registry's."""
    count = await db.fetchval("SELECT count(*) FROM station WHERE source = $1", digest)
    if count != len(STATIONS):
        return False
    hashes = dict(line.split(":", 1) for line in (await stations.broker_access()).passwords.splitlines() if ":" in line)
    codes = {device.code for station in STATIONS for device in _devices_of(station)}
    return all(code in passwords and matches_password(passwords[code], hashes.get(code, "")) for code in codes)


async def seed_people(*, now: datetime) -> dict[str, UUID]:
    """Put companies and cast in place; returns the companies' ids by code."""
    companies = {
        company.code: await accounts.add_operator_company(
            code=company.code, name=company.name, hotline=company.hotline, now=now
        )
        for company in people.COMPANIES
    }
    for person in PEOPLE:
        account_id = await accounts.ensure_account(phone=person.phone, name=person.name, now=now)
        if person.role is not None and person.company is not None:
            await accounts.add_staff(
                account_id=account_id, role=person.role, operator_company_id=companies[person.company], now=now
            )
    return companies


async def seed_prices(*, companies: dict[str, UUID], now: datetime) -> None:
    """Publish each company's first tariff for each supply class that has none; a published one is left alone."""
    by_key = {person.key: person for person in PEOPLE}
    for code, company_id in companies.items():
        author, approver = [
            await accounts.ensure_account(phone=by_key[key].phone, name=by_key[key].name, now=now)
            for key in PRICE_AUTHORS[code]
        ]
        mine = frozenset({company_id})
        published = {
            version.supply_class
            for version in await tariffs.list_versions(company_ids=mine, status="published")
            if version.station_id is None
        }
        for supply_class in sorted(set(prices.SPANS) - published):
            draft = await tariffs.draft_version(
                operator_company_id=company_id,
                station_id=None,
                supply_class=supply_class,
                name="北京分时电价 2026-08",
                effective_from=prices.EFFECTIVE_FROM,
                effective_to=None,
                spans=prices.SPANS[supply_class],
                prices=prices.prices_of(supply_class),
                parking=prices.PARKING,
                actor_id=author,
                now=now,
            )
            await tariffs.approve_version(version_id=draft.id, company_ids=mine, actor_id=approver, now=now)
            await tariffs.publish_version(version_id=draft.id, company_ids=mine, actor_id=approver, now=now)


async def seed_packages(*, companies: dict[str, UUID], now: datetime) -> None:
    """Offer each company's packages, by two people; one that is there already, in any state, is left alone."""
    by_key = {person.key: person for person in PEOPLE}
    for code, company_id in companies.items():
        author, approver = [
            Staff(
                account_id=await accounts.ensure_account(phone=by_key[key].phone, name=by_key[key].name, now=now),
                grants=(Grant("operator", company_id),),
            )
            for key in PRICE_AUTHORS[code]
        ]
        known = {package.code for package in await packages.list_company_packages(staff=author)}
        for draft in PACKAGES:
            if draft.code not in known:
                made = await packages.draft_package(staff=author, operator_company_id=company_id, draft=draft, now=now)
                await packages.approve_package(staff=approver, package_id=made.id, now=now)


async def seed_merchants(*, state_dir: Path, now: datetime) -> None:
    """Give each company its merchant account at the sandbox's WeChat Pay, where it does not have just that one
    already.
    """
    for company, merchant in zip(people.COMPANIES, merchants(state_dir), strict=False):
        found = await accounts.find_operator_company_by_code(code=company.code)
        present = await db.fetchval(
            "SELECT count(*) FROM merchant_account WHERE operator_company_id = $1 AND merchant_no = $2"
            " AND cert_serial_no = $3 AND app_id = $4 AND platform_key_id = $5",
            None if found is None else found.id,
            merchant.mchid,
            merchant.cert_serial_no,
            merchant.appid,
            merchant.platform_public_key_id,
        )
        if found is not None and not present:
            await merchant_accounts.put_merchant_account(
                operator_company_id=found.id,
                merchant_no=merchant.mchid,
                app_id=merchant.appid,
                cert_serial_no=merchant.cert_serial_no,
                private_key=merchant.private_key,
                api_key=merchant.api_v3_key,
                platform_key_id=merchant.platform_public_key_id,
                platform_public_key=merchant.platform_public_key,
                now=now,
            )


class _Gun(msgspec.Struct, frozen=True):
    charger: str
    number: int
    bay: str
    zone: str


class _Device(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    kind: str
    charger: str | None = None
    bay: str | None = None
    bays: tuple[str, ...] = ()
    role: str | None = None
    lane: str | None = None
    area: str | None = None


def _chargers_of(station: DemoStation) -> list[tuple[str, GunGroup]]:
    """Return the station's chargers by code: `{station}-A1` for AC, `{station}-D1` for DC."""
    counters = {"ac": 0, "dc": 0}
    found: list[tuple[str, GunGroup]] = []
    for group in station.groups:
        for _ in range(group.chargers):
            counters[group.kind] += 1
            found.append((f"{station.code}-{group.kind[0].upper()}{counters[group.kind]}", group))
    return found


def _guns_of(station: DemoStation) -> list[_Gun]:
    """Return each gun with the bay beside it: R01.. in the resident zone, P01.. in the public one."""
    counters = {"resident": 0, "public": 0}
    found: list[_Gun] = []
    for code, group in _chargers_of(station):
        for number in range(1, group.guns + 1):
            counters[group.zone] += 1
            bay = f"{group.zone[0].upper()}{counters[group.zone]:02d}"
            found.append(_Gun(code, number, bay, group.zone))
    return found


def _devices_of(station: DemoStation) -> list[_Device]:
    """Return the station's devices: resident bays have locks, each zone a bay camera and a smoke detector."""
    guns = _guns_of(station)
    devices = [_Device(code=code, kind="charger", charger=code) for code, _ in _chargers_of(station)]
    devices += [
        _Device(code=f"{station.code}-L-{gun.bay}", kind="lock", bay=gun.bay) for gun in guns if gun.zone == "resident"
    ]
    devices.append(_Device(code=f"{station.code}-K-IN", kind="camera", role="approach", lane="in"))
    for zone in ("resident", "public"):
        bays = tuple(gun.bay for gun in guns if gun.zone == zone)
        devices.append(_Device(code=f"{station.code}-K-{zone[0].upper()}", kind="camera", role="bay", bays=bays))
        devices.append(_Device(code=f"{station.code}-F-{zone[0].upper()}", kind="smoke", area=zone))
    return devices


async def seed_stations(
    *,
    companies: dict[str, UUID],
    passwords: dict[str, str],
    digest: str,
    now: datetime,
    on_progress: imports.Progress,
) -> None:
    """Build every station with its devices; `passwords` is completed with those of new and renewed devices."""
    points = _compound_points()
    for number, station in enumerate(STATIONS, start=1):
        async with db.transaction():
            await _seed_station(station, points[station.compound, station.district], companies, passwords, digest, now)
        on_progress(number, len(STATIONS))


def _compound_points() -> dict[tuple[str, str], tuple[float, float]]:
    with COMMUNITIES_FILE.open(encoding="utf-8", newline="") as file:
        return {(row["name"], row["district"]): (float(row["lat"]), float(row["lng"])) for row in csv.DictReader(file)}


async def _seed_station(
    station: DemoStation,
    compound: tuple[float, float],
    companies: dict[str, UUID],
    passwords: dict[str, str],
    digest: str,
    now: datetime,
) -> None:
    lat, lng = moved(*compound, north_m=station.north_m, east_m=station.east_m)
    station_id = await build.put_station(
        code=station.code,
        name=station.name,
        operator_company_id=companies[station.company],
        lat=lat,
        lng=lng,
        pilot=True,
        address=f"北京市{station.district}{station.compound}旁",
        property_owner=f"{station.compound}物业服务中心",
        commissioned_on=OPENED_ON,
        construction="new",
        supply_class=station.supply_class,
        transformer_limit_w=sum(g.chargers * g.power_w for g in station.groups) * 4 // 5,
        parking=prices.PARKING.text_zh,
        settings=SETTINGS,
        source=digest,
        now=now,
    )
    charger_ids: dict[str, UUID] = {}
    connector_ids: dict[tuple[str, int], UUID] = {}
    for code, group in _chargers_of(station):
        charger_ids[code], guns = await build.put_charger(
            station_id=station_id,
            code=code,
            kind=group.kind,
            max_power_w=group.power_w,
            guns=group.guns,
            gun_power_w=group.power_w if group.kind == "ac" else group.power_w // group.guns,
            model=group.model,
            maker="邻里电气",
            area=group.zone,
            commissioned_on=OPENED_ON,
        )
        connector_ids |= {(code, number): gun for number, gun in enumerate(guns, start=1)}
    bay_ids = {
        gun.bay: await build.put_bay(
            station_id=station_id,
            code=gun.bay,
            zone="resident" if gun.zone == "resident" else "public",
            connector_ids=[connector_ids[gun.charger, gun.number]],
            area=gun.zone,
        )
        for gun in _guns_of(station)
    }
    for device in _devices_of(station):
        present = await stations.find_device(code=device.code)
        if present is None:
            _, passwords[device.code] = await build.register_device(
                station_id=station_id,
                code=device.code,
                kind=device.kind,
                charger_id=charger_ids[device.charger] if device.charger else None,
                bay_id=bay_ids[device.bay] if device.bay else None,
                camera_bay_ids=[bay_ids[bay] for bay in device.bays],
                role=None if device.role is None else "approach" if device.role == "approach" else "bay",
                area=device.area,
                lane=device.lane,
                password=passwords.get(device.code),
                now=now,
            )
        else:
            passwords[device.code] = await build.renew_password(
                device_id=present.id, password=passwords.get(device.code), now=now
            )


def make_plan(*, mqtt_url: str, passwords: dict[str, str]) -> FleetPlan:
    """Return the fleet's plan from the definitions and the devices' passwords."""
    return FleetPlan(mqtt_url=mqtt_url, stations=[_plan_station(station, passwords) for station in STATIONS])


def _plan_station(station: DemoStation, passwords: dict[str, str]) -> StationPlan:
    devices = _devices_of(station)
    guns = _guns_of(station)
    return StationPlan(
        code=station.code,
        name=station.name,
        ambient_c=station.ambient_c,
        life=station.life,
        chargers=[
            ChargerPlan(
                code=code,
                password=passwords[code],
                kind=group.kind,
                connectors=[
                    ConnectorPlan(
                        number=gun.number,
                        max_power_w=group.power_w if group.kind == "ac" else group.power_w // group.guns,
                        bays=[gun.bay],
                    )
                    for gun in guns
                    if gun.charger == code
                ],
            )
            for code, group in _chargers_of(station)
        ],
        locks=[LockPlan(code=d.code, password=passwords[d.code], bay=d.bay or "") for d in devices if d.kind == "lock"],
        cameras=[
            CameraPlan(
                code=d.code,
                password=passwords[d.code],
                role="approach" if d.role == "approach" else "bay",
                bays=list(d.bays),
                lane=d.lane,
            )
            for d in devices
            if d.kind == "camera"
        ],
        smoke=[SmokePlan(code=d.code, password=passwords[d.code], area=d.area) for d in devices if d.kind == "smoke"],
    )
