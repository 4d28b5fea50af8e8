"""HTTP and live paths of the people on site and of the control room."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, WebSocket, get, post, websocket
from litestar.handlers import send_websocket_stream
from litestar.params import Parameter
from litestar.response import ServerSentEvent
from litestar.response.sse import ServerSentEventMessage
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED
from litestar.types import ControllerRouterHandler

from backend.alerts.board import watch_board
from backend.alerts.controllers_duty import DutyController, ReportController, SharedPhoneController
from backend.alerts.controllers_rules import RulesController
from backend.alerts.rules.incidents import IncidentMove, TaskMove
from backend.alerts.schemas import (
    CommandBody,
    CommandOut,
    IncidentDetail,
    IncidentOut,
    NoteBody,
    TaskOut,
    incident_detail,
    incident_out,
    task_out,
)
from backend.alerts.service import commands, incidents, tasks
from backend.alerts.service.commands import CommandUnknown, NothingRunning
from backend.alerts.service.incidents import READERS, IncidentState
from backend.alerts.service.tasks import TaskState, TaskTaken
from backend.alerts.store_incidents import IncidentView
from backend.core.auth import Principal, Staff, StaffOnly, provide_staff
from backend.core.errors import NotFound
from backend.core.http import etag_response
from backend.core.live import Live
from backend.core.paging import Page, decode_cursor, encode_cursor
from backend.core.problem_docs import answers
from backend.core.services import Services
from backend.stations import service as stations

AnyRequest = Request[Any, Any, Any]
Cursor = Annotated[str | None, Parameter(description="`next` of the page before")]
Limit = Annotated[int, Parameter(ge=1, le=100, description="Items a page")]


class TaskController(Controller):
    """Tasks on site."""

    path = "/v1/staff/tasks"
    tags = ("staff",)

    @get(
        operation_id="listTasks",
        summary="Tasks of the caller's stations, newest first",
        description="Guards of one station see that station's. Poll it with If-None-Match, or open /v1/staff/live.",
        responses=answers(StaffOnly),
    )
    async def list_tasks(
        self,
        request: AnyRequest,
        staff: Staff,
        status: Annotated[
            Literal["open", "accepted", "on_site", "resolved"] | None, Parameter(description="Only tasks in this state")
        ] = None,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> Response[Page[TaskOut]]:
        """Return one page."""
        before: UUID | None = decode_cursor(cursor, UUID)[0] if cursor is not None else None
        found = await tasks.list_tasks(staff=staff, status=status, before=before, limit=limit + 1)
        shown = [task_out(task) for task in found[:limit]]
        return etag_response(
            request, Page(items=shown, next=encode_cursor(shown[-1].id) if len(found) > limit else None)
        )

    @post(
        "/{task_id:uuid}/{step:str}",
        status_code=HTTP_200_OK,
        operation_id="moveTask",
        summary="Accept, arrive at or resolve a task",
        description="`step` is accept, arrive or resolve. Arriving at an incident's task puts the incident on site.",
        responses=answers(StaffOnly, NotFound, TaskState, TaskTaken),
    )
    async def move(
        self, task_id: UUID, step: str, staff: Staff, now: datetime, data: NoteBody | None = None
    ) -> TaskOut:
        """Move a task on."""
        moves: dict[str, TaskMove] = {"accept": "accept", "arrive": "arrive", "resolve": "resolve"}
        if step not in moves:
            raise NotFound(kind="path")
        note = data.note if data is not None else ""
        return task_out(await tasks.move(task_id=task_id, step=moves[step], note=note, staff=staff, now=now))


class IncidentController(Controller):
    """Incidents."""

    path = "/v1/staff/incidents"
    tags = ("staff",)

    @get(
        operation_id="listIncidents",
        summary="Incidents of the caller's stations, newest first",
        description="`handled=true` leaves out those that are resolved.",
        responses=answers(StaffOnly),
    )
    async def list_incidents(
        self,
        request: AnyRequest,
        staff: Staff,
        handled: Annotated[bool, Parameter(description="Only incidents that are being handled")] = False,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> Response[Page[IncidentOut]]:
        """Return one page."""
        before: UUID | None = decode_cursor(cursor, UUID)[0] if cursor is not None else None
        found = await incidents.list_incidents(staff=staff, handled_only=handled, before=before, limit=limit + 1)
        shown = [incident_out(incident) for incident in found[:limit]]
        return etag_response(
            request, Page(items=shown, next=encode_cursor(shown[-1].id) if len(found) > limit else None)
        )

    @get(
        "/{incident_id:uuid}",
        operation_id="getIncident",
        summary="An incident with its time line",
        description="Every reading, action, message and person, with who and when. Another company's is a 404.",
        responses=answers(StaffOnly, NotFound),
    )
    async def get_incident(self, incident_id: UUID, staff: Staff) -> IncidentDetail:
        """Return the incident."""
        return await _whole(await incidents.get_incident(incident_id=incident_id, staff=staff))

    @post(
        "/{incident_id:uuid}/{step:str}",
        status_code=HTTP_200_OK,
        operation_id="moveIncident",
        summary="Acknowledge, arrive at, resolve or report an incident",
        description=(
            "`step` is acknowledge, arrive, resolve or report. Resolving lifts the safety hold and gives the "
            "all-clear; only people do that."
        ),
        responses=answers(StaffOnly, NotFound, IncidentState),
    )
    async def move(
        self, incident_id: UUID, step: str, staff: Staff, now: datetime, data: NoteBody | None = None
    ) -> IncidentDetail:
        """Move an incident on."""
        moves: dict[str, IncidentMove] = {
            "acknowledge": "acknowledge",
            "arrive": "arrive",
            "resolve": "resolve",
            "report": "report",
        }
        if step not in moves:
            raise NotFound(kind="path")
        note = data.note if data is not None else ""
        moved = await incidents.move(incident_id=incident_id, step=moves[step], note=note, staff=staff, now=now)
        return await _whole(moved)


async def _whole(incident: IncidentView) -> IncidentDetail:
    return incident_detail(
        incident,
        steps=await incidents.list_steps(incident_id=incident.id),
        open_alerts=await incidents.list_open_alerts(incident_id=incident.id),
        safety_hold=await stations.has_safety_hold(station_id=incident.station_id),
    )


class BoardController(Controller):
    """The live board and commands."""

    path = "/v1/staff"
    tags = ("staff",)

    @get(
        "/live",
        operation_id="streamBoard",
        summary="Incidents, tasks and alerts as they change (SSE)",
        description="Server-sent events named snapshot, news and ping; the same over WebSocket. Takes ?ticket=.",
        responses=answers(StaffOnly),
    )
    async def live_sse(self, ticket_principal: Principal, services: Services) -> ServerSentEvent:
        """Stream the board to a browser."""
        staff = await provide_staff(ticket_principal, services)
        staff.company_ids(*READERS)

        async def events() -> AsyncGenerator[ServerSentEventMessage, None]:
            async for message in watch_board(staff=staff, live=services.get(Live)):
                yield ServerSentEventMessage(
                    event=message.type, data=msgspec.json.encode(message).decode(), id=None, retry=3000
                )

        return ServerSentEvent(events())

    @post(
        "/devices/{device_id:uuid}/commands",
        status_code=HTTP_202_ACCEPTED,
        operation_id="commandDevice",
        summary="Give a device a command",
        description=(
            "lock: lower, raise; charger: stop; smoke: silence. With a reason, audited. A raise is carried out only "
            "when every safety rule allows it."
        ),
        responses=answers(StaffOnly, NotFound, CommandUnknown, NothingRunning),
    )
    async def command(self, device_id: UUID, data: CommandBody, staff: Staff, now: datetime) -> CommandOut:
        """Command a device."""
        done = await commands.command(
            device_id=device_id, name=data.name, connector=data.connector, reason=data.reason, staff=staff, now=now
        )
        return CommandOut(
            device_id=done.device_id,
            name=done.name,
            asked=done.asked,
            command_id=done.command_id,
            sessions=list(done.sessions),
        )


@websocket("/v1/staff/live")
async def live_websocket(socket: WebSocket[Any, Any, Any], ticket_principal: Principal, services: Services) -> None:
    """Stream the board over WebSocket."""
    staff = await provide_staff(ticket_principal, services)
    staff.company_ids(*READERS)

    async def texts() -> AsyncGenerator[str, None]:
        async for message in watch_board(staff=staff, live=services.get(Live)):
            yield msgspec.json.encode(message).decode()

    await socket.accept()
    await send_websocket_stream(socket, texts(), listen_for_disconnect=True, warn_on_data_discard=False)


ROUTES: list[ControllerRouterHandler] = [
    RulesController,
    ReportController,
    DutyController,
    SharedPhoneController,
    TaskController,
    IncidentController,
    BoardController,
    live_websocket,
]
