"""What staff send of drills, shifts and shared phones."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta


class DrillBody(msgspec.Struct, frozen=True, kw_only=True):
    """A drill to begin."""

    station_id: UUID
    note: Annotated[str, Meta(description="What is exercised, for the record", max_length=500)] = ""


class ShiftBody(msgspec.Struct, frozen=True, kw_only=True):
    """A shift to plan."""

    account_id: Annotated[UUID, Meta(description="Who; has this role for the station")]
    role: Annotated[Literal["guard", "lead", "operator"], Meta(description="In which role")] = "guard"
    starts_at: Annotated[datetime, Meta(tz=True, description="Begin")]
    ends_at: Annotated[datetime, Meta(tz=True, description="End, at most 24 hours later")]
    station_id: Annotated[UUID, Meta(description="One station; left out: all of the company")] | None = None
    operator_company_id: Annotated[UUID, Meta(description="Needed only by who works for several companies")] | None = (
        None
    )


class HandOverBody(msgspec.Struct, frozen=True, kw_only=True):
    """A hand-over to the next person."""

    to_account_id: Annotated[UUID, Meta(description="Who is on duty from now on")]
    note: Annotated[str, Meta(description="What the next person must know", max_length=2000)] = ""


class SignOffBody(msgspec.Struct, frozen=True):
    """The end of a shift."""

    note: Annotated[str, Meta(description="What the next person must know", max_length=2000)] = ""


class SignOnBody(msgspec.Struct, frozen=True, kw_only=True):
    """Signing on at a shared phone."""

    phone: Annotated[str, Meta(description="The person's own number", min_length=11, max_length=16)]
    pin: Annotated[str, Meta(description="The person's PIN", pattern="^[0-9]{4,8}$")]


class PinBody(msgspec.Struct, frozen=True):
    """A new PIN."""

    pin: Annotated[str, Meta(description="4 to 8 digits, for shared phones", pattern="^[0-9]{4,8}$")]


class SharedPhoneBody(msgspec.Struct, frozen=True, kw_only=True):
    """A guard post's phone."""

    phone: Annotated[str, Meta(description="Its own number; it logs in by SMS as itself", pattern=r"^(\+86)?1\d{10}$")]
    label: Annotated[str, Meta(description="Where it lies", min_length=1, max_length=60, examples=["东门岗亭"])]
    station_id: Annotated[UUID, Meta(description="One station; left out: all of the company")] | None = None
    operator_company_id: Annotated[UUID, Meta(description="Needed only by who works for several companies")] | None = (
        None
    )
