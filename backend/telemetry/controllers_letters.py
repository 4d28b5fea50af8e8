"""Dead letters of the caller's own devices: listed, and replayed once the cause is mended."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import Controller, get, post
from litestar.params import Parameter
from litestar.status_codes import HTTP_200_OK
from litestar.types import ControllerRouterHandler

from backend.core.auth import Staff, StaffOnly
from backend.core.errors import NotFound, Unauthenticated
from backend.core.paging import CursorInvalid, Page, decode_cursor, encode_cursor
from backend.core.problem_docs import answers
from backend.telemetry import letters
from backend.telemetry.letters import LetterNotReplayable, LetterView


class DeadLetters(Controller):
    """Messages that were refused."""

    path = "/v1/operator/dead-letters"
    tags = ("operator",)

    @get(
        operation_id="listDeadLetters",
        summary="List refused messages of the own devices",
        description=(
            "Newest first, with the cause (docs/device-makers.md), never with what they said. Messages of unknown"
            " devices are listed by `linli letters`."
        ),
        responses=answers(Unauthenticated, StaffOnly, CursorInvalid),
    )
    async def list_letters(
        self,
        staff: Staff,
        station_id: Annotated[UUID | None, Parameter(description="Only of this station")] = None,
        cause: Annotated[str | None, Parameter(description="Only of this cause", max_length=32)] = None,
        waiting: Annotated[bool, Parameter(description="Leave out what was taken by a replay")] = False,
        cursor: Annotated[str | None, Parameter(description="`next` of the page before")] = None,
        limit: Annotated[int, Parameter(ge=1, le=200, description="Items per page")] = 50,
    ) -> Page[LetterView]:
        """List."""
        before = decode_cursor(cursor, int)[0] if cursor else None
        found = await letters.list_own_letters(
            staff=staff, station_id=station_id, cause=cause, waiting=waiting, before=before, limit=limit + 1
        )
        return Page(found[:limit], encode_cursor(found[limit - 1].id) if len(found) > limit else None)

    @post(
        "/{letter_id:int}/replay",
        status_code=HTTP_200_OK,
        operation_id="replayDeadLetter",
        summary="Give a refused message another try",
        description=(
            "As it arrived, at the time it arrived. `replay_outcome` is stored, repeat (it is there already) or"
            " `refused: cause` (the cause is not mended)."
        ),
        responses=answers(Unauthenticated, StaffOnly, NotFound, LetterNotReplayable),
    )
    async def replay(self, staff: Staff, letter_id: int, now: datetime) -> LetterView:
        """Replay."""
        return await letters.replay_own(staff=staff, letter_id=letter_id, now=now)


ROUTES: list[ControllerRouterHandler] = [DeadLetters]
