"""What the label of a device says: the QR code its maker prints, and the rows of an enrolment file."""

from collections.abc import Mapping
from typing import cast, get_args
from urllib.parse import parse_qs

import msgspec

from backend.stations.rules.rows import RefusedRow
from backend.stations.rules.topology import CameraRole, DeviceKind, is_code

PREFIX = "linli:device?"
LABEL_VERSION = "1"
COLUMNS = ("code", "kind")
"""What every enrolment file names; `charger`, `bay`, `bays`, `role`, `area`, `lane`, `interval_s`, `model` where they
apply. A row may give `qr` (a scanned label) instead of code, kind and model."""


class DeviceLabel(msgspec.Struct, frozen=True, kw_only=True):
    """What a maker prints on a device: its code, kind and model."""

    code: str
    kind: DeviceKind
    model: str = ""


class DeviceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A device as an enrolment file gives it; places are named by their codes at the station."""

    row: int
    code: str
    kind: DeviceKind
    model: str
    charger_code: str | None
    bay_code: str | None
    camera_bay_codes: tuple[str, ...]
    role: CameraRole | None
    area: str | None
    lane: str | None
    report_interval_s: int | None


def read_label(text: str) -> DeviceLabel | str:
    """Return what a scanned label says, or what is wrong with it.

    The text is `linli:device?v=1&kind=smoke&code=SM-0001&model=HX-200` (docs/device-makers.md); fields it does not know
    are passed over, so that a maker may print more.
    """
    if not text.startswith(PREFIX):
        return f"a device's label starts with {PREFIX}"
    fields = {name: values[-1].strip() for name, values in parse_qs(text[len(PREFIX) :], max_num_fields=20).items()}
    if fields.get("v") != LABEL_VERSION:
        return f"this label is of version {fields.get('v', '?')[:10]}; known is {LABEL_VERSION}"
    kind, code, model = fields.get("kind", ""), fields.get("code", ""), fields.get("model", "")
    if kind not in get_args(DeviceKind):
        return f"kind is one of {', '.join(get_args(DeviceKind))}"
    if not is_code(code):
        return "code has 1 to 64 letters A-Z a-z, digits, '_' or '-'"
    if len(model) > 80 or not model.isprintable():
        return "model is printable text of at most 80 characters"
    return DeviceLabel(code=code, kind=cast("DeviceKind", kind), model=model)


def read_device(row: int, fields: Mapping[str, str]) -> DeviceRow | list[RefusedRow]:
    """Return the device of a row, or everything that is wrong with it."""
    refusals: list[RefusedRow] = []

    def refuse(field: str, right: str) -> None:
        refusals.append(RefusedRow(line=row, field=field, value=fields.get(field, "")[:80], right=right))

    def text(field: str, longest: int = 64) -> str | None:
        value = fields.get(field, "").strip()
        if len(value) > longest or not value.isprintable():
            refuse(field, f"printable text of at most {longest} characters")
        return value or None

    code, kind, model = text("code"), text("kind"), text("model", 80) or ""
    if scanned := text("qr", 400):
        label = read_label(scanned)
        if isinstance(label, str):
            refuse("qr", label)
        else:
            code, kind, model = label.code, label.kind, label.model
    if not refusals and (code is None or not is_code(code)):
        refuse("code", "1 to 64 letters A-Z a-z, digits, '_' or '-'")
    if not refusals and kind not in get_args(DeviceKind):
        refuse("kind", f"one of {', '.join(get_args(DeviceKind))}")
    role, interval = text("role"), text("interval_s")
    if role is not None and role not in get_args(CameraRole):
        refuse("role", f"one of {', '.join(get_args(CameraRole))}, or empty")
    if interval is not None and not (interval.isascii() and interval.isdigit() and 1 <= int(interval[:9]) <= 604_800):
        refuse("interval_s", "seconds, 1 to 604800, or empty")
    found = (text("charger"), text("bay"), text("bays", 2000), text("area"), text("lane"))
    if refusals:
        return refusals
    charger, bay, bays, area, lane = found
    return DeviceRow(
        row=row,
        code=code or "",
        kind=cast("DeviceKind", kind),
        model=model,
        charger_code=charger or (code if kind == "charger" else None),
        bay_code=bay,
        camera_bay_codes=tuple((bays or "").split()),
        role=cast("CameraRole | None", role),
        area=area,
        lane=lane,
        report_interval_s=None if interval is None else int(interval),
    )
