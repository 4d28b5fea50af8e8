"""What privacy answers over HTTP."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta


class ExportAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the service knows of the caller."""

    account_id: Annotated[UUID, Meta(description="The account")]
    exported_at: Annotated[datetime, Meta(description="When it was read")]
    data: Annotated[
        dict[str, dict[str, Any]],
        Meta(
            description="By part of the service (accounts, stations, agreements, charging, …), each with its own lists"
        ),
    ]
