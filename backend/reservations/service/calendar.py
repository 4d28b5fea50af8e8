"""The resident's booking calendar (RFC 5545) at a secret address."""

import secrets
from datetime import datetime, timedelta
from uuid import UUID

from icalendar import Calendar, Event

from backend.accounts import service as accounts
from backend.core import crypto
from backend.core.errors import NotFound
from backend.reservations.rules.words import ReservationView
from backend.reservations.store import bookings as store
from backend.stations import service as stations

PAST_SHOWN = timedelta(days=30)
_GONE = frozenset({"cancelled", "no_show", "failed", "relocated"})
_TEXTS = {"zh-CN": ("充电预约", "充电枪 {charger} / {number}"), "en": ("Charging", "Connector {charger} / {number}")}


async def new_address(*, account_id: UUID, now: datetime) -> str:
    """Return the token of a new calendar address; the one before it stops working, and only its hash is kept."""
    token = secrets.token_urlsafe(24)
    await store.put_calendar_token(account_id, crypto.lookup_hash(token), now)
    return token


async def calendar(*, token: str, now: datetime) -> bytes:
    """Return the bookings of the last 30 days and all coming ones as an iCalendar file; raises NotFound.

    Cancelled and lapsed ones are shown as cancelled, with a higher SEQUENCE, so that calendars take them off.
    """
    account_id = await store.find_calendar_account(crypto.lookup_hash(token))
    if account_id is None:
        raise NotFound(kind="calendar")
    contact = await accounts.get_contact(account_id=account_id)
    title, place = _TEXTS["en" if contact.locale == "en" else "zh-CN"]
    file = Calendar()
    file.add("prodid", "-//Linli//Bookings//EN")
    file.add("version", "2.0")
    file.add("method", "PUBLISH")
    file.add("x-wr-calname", title)
    for booked in await store.list_for_calendar(account_id, now - PAST_SHOWN):
        file.add_component(await _event(booked, title=title, place=place))
    return bytes(file.to_ical())


async def _event(booked: ReservationView, *, title: str, place: str) -> Event:
    station = await stations.get_station(station_id=booked.station_id)
    connector = await stations.get_connector(connector_id=booked.connector_id)
    entry = Event()
    entry.add("uid", f"{booked.id}@linli")
    entry.add("dtstamp", booked.updated_at)
    entry.add("created", booked.created_at)
    entry.add("last-modified", booked.updated_at)
    entry.add("dtstart", booked.starts_at)
    entry.add("dtend", booked.ends_at)
    entry.add("sequence", booked.sequence)
    entry.add("status", "CANCELLED" if booked.status in _GONE else "CONFIRMED")
    entry.add("summary", f"{title} · {station.name}")
    entry.add("description", place.format(charger=connector.charger_code, number=connector.number))
    entry.add("location", station.address or station.name)
    return entry
