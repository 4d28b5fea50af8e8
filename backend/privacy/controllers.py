"""HTTP paths of privacy: take the own data along, be forgotten."""

from datetime import datetime

import msgspec
from litestar import Response, delete, get
from litestar.types import ControllerRouterHandler

from backend.core.auth import Principal
from backend.core.errors import Unauthenticated
from backend.core.problem_docs import answers
from backend.privacy import service as privacy
from backend.privacy.schemas import ExportAnswer
from backend.privacy.service import MattersOpen


@get(
    "/v1/me/export",
    tags=["me"],
    operation_id="exportMe",
    summary="Export the own personal data",
    description="Everything the service knows of the caller, as one JSON file, by part of the service (PIPL art. 45).",
    responses=answers(Unauthenticated),
)
async def export_me(principal: Principal, now: datetime) -> Response[ExportAnswer]:
    """Export."""
    exported = await privacy.export(account_id=principal.account_id, now=now)
    answer = ExportAnswer(**{name: exported[name] for name in ExportAnswer.__struct_fields__})
    headers = {"content-disposition": 'attachment; filename="linli-export.json"', "cache-control": "no-store"}
    return Response(answer, headers=headers, type_encoders={msgspec.Struct: msgspec.to_builtins})


@delete(
    "/v1/me",
    tags=["me"],
    operation_id="eraseMe",
    summary="Erase the own account",
    description=(
        "Everything that names the person goes at once, and every login ends. Transactions and signed contracts are"
        " kept three years by law, apart from the identity. Refused while a session is open, an order unpaid, or an"
        " incident around the own car is being handled; `matters` names which (PIPL art. 47)."
    ),
    responses=answers(Unauthenticated, MattersOpen),
)
async def erase_me(principal: Principal, now: datetime) -> None:
    """Erase."""
    await privacy.erase(account_id=principal.account_id, now=now)


ROUTES: list[ControllerRouterHandler] = [export_me, erase_me]
