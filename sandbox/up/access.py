"""Who may do what at the broker: the devices of the registry, and the bridge."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from backend.stations import service as stations
from backend.stations.rules.broker import hash_password, matches_password
from sandbox.servers import processes
from sandbox.servers.mosquitto import BRIDGE_RULES, BrokerUser, access_texts
from sandbox.servers.processes import User


@dataclass(frozen=True)
class Access:
    """The texts of Mosquitto's two files."""

    passwords: str
    acl: str


async def read_access(bridge_url: str, *, known_hash: str = "") -> Access:
    """Return the access of every device in the registry and of the bridge, whose name and password are in its address.

    `known_hash` is kept where it still fits, so that the text changes only when the access does.
    """
    parts = urlsplit(bridge_url)
    password = unquote(parts.password or "")
    hashed = known_hash if matches_password(password, known_hash) else hash_password(password)
    bridge = BrokerUser(name=unquote(parts.username or ""), password_hash=hashed, rules=BRIDGE_RULES)
    devices = await stations.broker_access()
    passwords, acl = access_texts((bridge,), passwords=devices.passwords, acl=devices.acl)
    return Access(passwords=passwords, acl=acl)


def write_access(folder: Path, access: Access) -> bool:
    """Write both files, to be read by the broker's user only, and say whether anything changed.

    The files keep the owner the folder has: the broker reads them again at SIGHUP under its own user.
    """
    owner = folder.stat()
    user = User(name="", uid=owner.st_uid, gid=owner.st_gid) if os.geteuid() == 0 else None
    changed = False
    for name, text in (("passwords", access.passwords), ("acl", access.acl)):
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            processes.write_private(path, text, owner=user)
            changed = True
    return changed


def bridge_name(bridge_url: str) -> str:
    """Return the user name in the bridge's address."""
    return unquote(urlsplit(bridge_url).username or "")


def known_bridge_hash(folder: Path, name: str) -> str:
    """Return the bridge's password hash as last written, or an empty text."""
    try:
        lines = (folder / "passwords").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2] for line in lines if line.startswith(f"{name}:")), "")
