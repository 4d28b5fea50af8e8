"""The device registry of operators: the fleet with its health, enrolment, credentials, revocation."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import Controller, Request, Response, get, post, put
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body, Parameter
from litestar.types import ControllerRouterHandler

from backend.core.auth import Staff, StaffOnly
from backend.core.errors import NotFound, Unauthenticated
from backend.core.http import etag_response
from backend.core.paging import CursorInvalid, Page, decode_cursor, encode_cursor
from backend.core.problem_docs import answers
from backend.stations.rules.registry import RegistryEntry
from backend.stations.rules.topology import DeviceView
from backend.stations.service import devices, operate
from backend.stations.service.build import CodeInvalid, CodeTaken, DeviceMappingInvalid
from backend.stations.service.devices import AlreadyRevoked, LabelInvalid
from backend.stations.service.imports import FileRefused
from backend.telemetry import fleet
from backend.telemetry.rules.fleet import Health
from backend.telemetry.schemas import FleetAnswer, FleetCounts
from backend.telemetry.schemas_devices import (
    DeviceBody,
    EnrolmentAnswer,
    NewDeviceAnswer,
    NewDeviceBody,
    PasswordAnswer,
    RevokeBody,
    ScanBody,
)

IMPORT_MAX_BYTES = 2 * 1024 * 1024
AnyRequest = Request[Any, Any, Any]
Limit = Annotated[int, Parameter(ge=1, le=200, description="Items per page")]
Cursor = Annotated[str | None, Parameter(description="`next` of the page before")]


class OperatorDevices(Controller):
    """The device registry of the caller's companies, with what each device said of itself."""

    path = "/v1/operator/devices"
    tags = ("operator",)

    @get(
        operation_id="listDevices",
        summary="List the own devices with their health",
        description="By code; retired and revoked ones too. For operators, leads and inspectors. Poll with ETag.",
        responses=answers(Unauthenticated, StaffOnly, CursorInvalid),
    )
    async def list_devices(
        self,
        request: AnyRequest,
        staff: Staff,
        station_id: Annotated[UUID | None, Parameter(description="Only of this station")] = None,
        kind: Annotated[
            Literal["charger", "lock", "camera", "smoke"] | None, Parameter(description="Only of this kind")
        ] = None,
        health: Annotated[Health | None, Parameter(description="Only in this state of health")] = None,
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> Response[Page[FleetAnswer]]:
        """List devices."""
        after = decode_cursor(cursor, str)[0] if cursor else None
        found = await fleet.list_fleet(
            staff=staff, station_id=station_id, kind=kind, health=health, after=after, limit=limit + 1
        )
        shown = [FleetAnswer.of(device) for device in found[:limit]]
        return etag_response(request, Page(shown, encode_cursor(shown[-1].code) if len(found) > limit else None))

    @get(
        "/summary",
        operation_id="countDevices",
        summary="How many devices do how well",
        description="By kind and state of health, over all stations of the caller's companies.",
        responses=answers(Unauthenticated, StaffOnly),
    )
    async def summary(self, staff: Staff) -> FleetCounts:
        """Count devices."""
        return FleetCounts(kinds=await fleet.count_fleet(staff=staff))

    @get(
        "/{device_id:uuid}",
        operation_id="getDevice",
        summary="Read a device",
        description="With its health and the state of its credentials; its password is never shown again.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def read(self, staff: Staff, device_id: UUID) -> FleetAnswer:
        """Read a device."""
        return FleetAnswer.of(await fleet.get_fleet_device(staff=staff, device_id=device_id))

    @post(
        operation_id="createDevice",
        summary="Register a device",
        description="Returns its broker password, this once.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, CodeTaken, CodeInvalid, DeviceMappingInvalid),
    )
    async def create(self, staff: Staff, data: NewDeviceBody, now: datetime) -> NewDeviceAnswer:
        """Register a device."""
        device, password = await operate.create_device(
            staff=staff,
            station_id=data.station_id,
            code=data.code,
            kind=data.kind,
            charger_code=data.charger_code,
            bay_code=data.bay_code,
            camera_bay_codes=data.camera_bay_codes,
            role=data.role,
            area=data.area,
            lane=data.lane,
            report_interval_s=data.report_interval_s,
            model=data.model,
            now=now,
        )
        return NewDeviceAnswer(device=device, password=password)

    @put(
        "/{device_id:uuid}",
        operation_id="replaceDevice",
        summary="Replace what may change of a device",
        description="Its code, kind and place never do: retire it and register another.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, DeviceMappingInvalid),
    )
    async def replace(self, staff: Staff, device_id: UUID, data: DeviceBody, now: datetime) -> DeviceView:
        """Replace a device."""
        return await operate.replace_device(
            staff=staff,
            device_id=device_id,
            camera_bay_codes=data.camera_bay_codes,
            role=data.role,
            area=data.area,
            lane=data.lane,
            report_interval_s=data.report_interval_s,
            model=data.model,
            active=data.active,
            now=now,
        )

    @post(
        "/{device_id:uuid}/password",
        operation_id="renewDevicePassword",
        summary="Give a device a new password",
        description=(
            "Returns it, this once. The old one ends within seconds, and a connection that used it is cut; a revoked"
            " device is let in again."
        ),
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def renew(self, staff: Staff, device_id: UUID, now: datetime) -> PasswordAnswer:
        """Renew a password."""
        return PasswordAnswer(password=await operate.renew_password(staff=staff, device_id=device_id, now=now))

    @post(
        "/{device_id:uuid}/revoke",
        operation_id="revokeDevice",
        summary="Revoke a device's credentials at once",
        description=(
            "The bridge refuses its messages immediately; the broker cuts its connection and refuses its login as soon"
            " as it has read its files, within seconds. The device stays in the registry; a new password lets it in"
            " again."
        ),
        status_code=200,
        responses=answers(Unauthenticated, StaffOnly, NotFound, AlreadyRevoked),
    )
    async def revoke(self, staff: Staff, device_id: UUID, data: RevokeBody, now: datetime) -> RegistryEntry:
        """Revoke credentials."""
        return await devices.revoke(staff=staff, device_id=device_id, reason=data.reason, now=now)

    @post(
        "/scan",
        operation_id="enrolScannedDevice",
        summary="Enrol the device whose label was scanned",
        description=(
            "`qr` is the text of the label its maker prints (`linli:device?v=1&kind=…&code=…&model=…`). Returns the"
            " password, this once."
        ),
        responses=answers(
            Unauthenticated, StaffOnly, NotFound, CodeTaken, CodeInvalid, DeviceMappingInvalid, LabelInvalid
        ),
    )
    async def scan(self, staff: Staff, data: ScanBody, now: datetime) -> NewDeviceAnswer:
        """Enrol a scanned device."""
        made = await devices.enrol_scanned(
            staff=staff,
            station_id=data.station_id,
            qr=data.qr,
            bay_code=data.bay_code,
            camera_bay_codes=data.camera_bay_codes,
            role=data.role,
            area=data.area,
            lane=data.lane,
            now=now,
        )
        return NewDeviceAnswer(device=made.device, password=made.password)

    @post(
        "/import",
        operation_id="importDevices",
        summary="Enrol the devices of a CSV file at one station",
        description=(
            "multipart/form-data with `file`: UTF-8, columns code and kind (or qr, a scanned label), and charger, bay,"
            " bays (separated by blanks), role, area, lane, interval_s, model where they apply. Wrong rows are refused"
            " one by one with the reason, the rest is taken; passwords are shown this once. Safe to repeat: a device"
            " that is there already is left alone."
        ),
        request_max_body_size=IMPORT_MAX_BYTES,
        status_code=200,
        responses=answers(Unauthenticated, StaffOnly, NotFound, FileRefused),
    )
    async def import_file(
        self,
        staff: Staff,
        station_id: Annotated[UUID, Parameter(description="Where they stand")],
        data: Annotated[dict[str, UploadFile], Body(media_type=RequestEncodingType.MULTI_PART)],
        now: datetime,
    ) -> EnrolmentAnswer:
        """Enrol the devices of a file."""
        file = data.get("file")
        if file is None:
            raise FileRefused(problem="send the CSV as multipart/form-data under the name `file`")
        report = await devices.enrol_file(staff=staff, station_id=station_id, content=await file.read(), now=now)
        return EnrolmentAnswer(
            rows=report.rows,
            enrolled=[NewDeviceAnswer(device=made.device, password=made.password) for made in report.enrolled],
            unchanged=report.unchanged,
            refused=list(report.refused),
        )


ROUTES: list[ControllerRouterHandler] = [OperatorDevices]
