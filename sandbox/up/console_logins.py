"""Logins of the demo's operator console: two people, so that what needs a second person can be tried.

Made once per stack, with passwords of its own, and kept in the state folder with the secret of the second factor, which
outside a demo only the person's phone has.
"""

import json
import secrets
from pathlib import Path

import pyotp

from backend.cli.data import opened
from backend.console.service import people
from backend.core.settings import Settings
from sandbox.servers import processes

DEMO_LOGINS = (("platform", "13800000031", "平台一"), ("platform2", "13800000032", "平台二"))
FILE = "console.json"


async def add_logins(settings: Settings, *, state_dir: Path) -> None:
    """Add the demo's people where they are missing; safe to repeat."""
    path = state_dir / FILE
    known: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.exists() else {}
    async with opened(settings) as now:
        there = {person.username for person in await people.list_people()}
        for username, phone, name in DEMO_LOGINS:
            if username in there and username in known:
                continue
            password = secrets.token_urlsafe(15)
            if username in there:
                enrolment = await people.renew(username=username, password=password, now=now)
            else:
                enrolment = await people.add_user(
                    username=username, phone=phone, name=name, password=password, may_act=True, now=now
                )
            known[username] = {"password": password, "secret": enrolment.secret}
    processes.write_private(path, json.dumps(known, indent=1))


def demo_logins(state_dir: Path) -> list[tuple[str, str, str]]:
    """Return user name, password and the code of this moment of each demo login."""
    path = state_dir / FILE
    known: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.exists() else {}
    return [(name, login["password"], pyotp.TOTP(login["secret"]).now()) for name, login in sorted(known.items())]
