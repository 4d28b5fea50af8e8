"""What the chargers remember over a restart of the sandbox: their meters, and the sessions that were running.

A meter never runs backwards, not even after `kill -9`: unless the file says that it was closed cleanly, each reading
continues above everything the charger can have reported since the last save. A session that was running ends as after
a power cut: `session_ended` with reason `power_lost`, under the new boot number.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from sandbox.fleet.charger import Charger

log = logging.getLogger("sandbox.fleet")

SAVE_EVERY_S: Final = 2.0


class Remembered(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One gun: its true meter, and the running session's id."""

    meter: float
    margin_wh: float
    """The most it can have counted since, until the next save was due, at the speed of then."""
    session_id: str | None = None


class _File(msgspec.Struct, kw_only=True):
    clean: bool
    guns: dict[str, Remembered]


class Memory:
    """The file of a fleet's meters."""

    def __init__(self, *, path: Path) -> None:
        self._path = path

    def save(self, chargers: Iterable[Charger], *, clean: bool = False) -> None:
        """Write all meters; ``clean`` says that nothing can follow before the next `restore`."""
        guns = {
            f"{charger.code}/{number}": Remembered(
                meter=gun.meter,
                margin_wh=gun.max_power_w * charger.speed * 2 * SAVE_EVERY_S / 3600,
                session_id=gun.session.session_id if gun.session else None,
            )
            for charger in chargers
            for number, gun in charger.connectors.items()
        }
        temporary = self._path.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(_File(clean=clean, guns=guns)))
        temporary.replace(self._path)

    def restore(self, chargers: Iterable[Charger]) -> None:
        """Give the meters back, and let each session that was running end. A file that cannot be read is set aside."""
        try:
            known = msgspec.json.decode(self._path.read_bytes(), type=_File)
        except FileNotFoundError:
            return
        except msgspec.MsgspecError as error:
            log.warning("%s cannot be read (%s); the meters start anew", self._path, error)
            self._path.replace(self._path.with_suffix(".unreadable"))
            return
        for charger in chargers:
            for number, gun in charger.connectors.items():
                kept = known.guns.get(f"{charger.code}/{number}")
                if kept is None:
                    continue
                gun.meter = kept.meter + (0.0 if known.clean else kept.margin_wh)
                if kept.session_id is not None:
                    charger.end_lost_session(number=number, session_id=kept.session_id)
