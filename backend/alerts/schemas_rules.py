"""What operators send and read of the rules' numbers."""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta


class RulesBody(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers that shall replace those in force, as a whole."""

    rules: Annotated[
        dict[str, dict[str, float]],
        Meta(
            description=(
                "Per rule: warning, critical (with .ncm, .lfp or .unknown for one chemistry), clear_by, persistence, "
                "off; in the rule's own unit. Rules that are not named keep our defaults."
            ),
            examples=[
                {"battery_temp_high": {"warning": 55, "critical": 65}, "cell_voltage_high": {"warning.lfp": 3.6}}
            ],
        ),
    ]
    reason: Annotated[
        str, Meta(description="Why, for whoever approves and for the record", min_length=3, max_length=500)
    ]
    station_id: Annotated[UUID, Meta(description="One station; left out: every station of the company")] | None = None
    operator_company_id: Annotated[UUID, Meta(description="Needed only by who works for several companies")] | None = (
        None
    )
