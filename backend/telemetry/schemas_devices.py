"""Bodies and answers of the device registry."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from backend.stations.rules.rows import RefusedRow
from backend.stations.rules.topology import CODE_PATTERN, DeviceView

Code = Annotated[str, Meta(description="Immutable; what MQTT topics and QR codes name", pattern=CODE_PATTERN)]


class NewDeviceBody(msgspec.Struct, kw_only=True):
    """A device to register."""

    station_id: UUID
    code: Code
    kind: Annotated[
        Literal["charger", "lock", "camera", "smoke"], Meta(description="A charger's device carries its charger's code")
    ]
    charger_code: Annotated[str | None, Meta(description="Chargers only")] = None
    bay_code: Annotated[str | None, Meta(description="Locks only: the bay it guards")] = None
    camera_bay_codes: Annotated[list[str], Meta(description="Bay cameras only: the bays it watches")] = []
    role: Annotated[Literal["approach", "bay"] | None, Meta(description="Cameras only")] = None
    area: (
        Annotated[str, Meta(description="Smoke detectors only; without one it guards the whole station", max_length=64)]
        | None
    ) = None
    lane: Annotated[str, Meta(description="Approach cameras only", max_length=64)] | None = None
    report_interval_s: (
        Annotated[int, Meta(description="Seconds between reports; the contract's if left out", ge=1, le=604_800)] | None
    ) = None
    model: Annotated[str, Meta(max_length=80)] = ""


class DeviceBody(msgspec.Struct, kw_only=True):
    """What may change of a device."""

    camera_bay_codes: list[str] = []
    role: Literal["approach", "bay"] | None = None
    area: Annotated[str, Meta(max_length=64)] | None = None
    lane: Annotated[str, Meta(max_length=64)] | None = None
    report_interval_s: Annotated[int, Meta(description="Seconds between its reports", ge=1, le=604_800)]
    model: Annotated[str, Meta(max_length=80)] = ""
    active: Annotated[bool, Meta(description="A retired device is refused by the broker and the bridge")] = True


class NewDeviceAnswer(msgspec.Struct, kw_only=True):
    """A device just registered."""

    device: DeviceView
    password: Annotated[
        str,
        Meta(
            description="The device's password at the broker, with its code as user name; shown this once. The broker"
            " knows it within seconds (docs/operating.md)."
        ),
    ]


class PasswordAnswer(msgspec.Struct, kw_only=True):
    """A device's new password."""

    password: Annotated[str, Meta(description="Shown this once")]


class RevokeBody(msgspec.Struct, kw_only=True):
    """Why a device is shut out."""

    reason: Annotated[
        str, Meta(description="Kept in the registry and the audit log; no personal data", min_length=1, max_length=200)
    ]


class ScanBody(msgspec.Struct, kw_only=True):
    """A scanned label and where the device hangs."""

    station_id: UUID
    qr: Annotated[
        str,
        Meta(
            description="The text of the label", max_length=400, examples=["linli:device?v=1&kind=smoke&code=SM-0001"]
        ),
    ]
    bay_code: Annotated[str | None, Meta(description="Locks only: the bay it guards")] = None
    camera_bay_codes: Annotated[list[str], Meta(description="Bay cameras only: the bays it watches")] = []
    role: Annotated[Literal["approach", "bay"] | None, Meta(description="Cameras only")] = None
    area: Annotated[str, Meta(description="Smoke detectors only", max_length=64)] | None = None
    lane: Annotated[str, Meta(description="Approach cameras only", max_length=64)] | None = None


class EnrolmentAnswer(msgspec.Struct, kw_only=True):
    """What became of the rows of an enrolment file."""

    rows: int
    enrolled: Annotated[list[NewDeviceAnswer], Meta(description="Each with its password, shown this once")]
    unchanged: Annotated[int, Meta(description="Devices that stood there already")]
    refused: list[RefusedRow]
