"""Consents, per purpose: given and withdrawn, every change kept."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from backend.accounts.store import people as people_rows

Purpose = Literal["service_terms", "plate_recognition", "location", "marketing"]
"""Why data is processed, each with its own consent (PIPL art. 14): contract, plate reading, search, advertising."""


class ConsentView(msgspec.Struct, frozen=True, kw_only=True):
    """The consent in force for one purpose."""

    purpose: str
    given: bool
    text_version: str
    recorded_at: datetime


async def record_consent(*, account_id: UUID, purpose: Purpose, given: bool, text_version: str, now: datetime) -> None:
    """Record that a person gave or withdrew the consent for one purpose."""
    await people_rows.add_consent(
        account_id=account_id, purpose=purpose, given=given, text_version=text_version, now=now
    )


async def list_consents(*, account_id: UUID) -> list[ConsentView]:
    """Return the consent in force of every purpose the person was ever asked about."""
    latest = {row["purpose"]: row for row in await people_rows.list_consents(account_id=account_id)}
    return [
        ConsentView(
            purpose=row["purpose"], given=row["given"], text_version=row["text_version"], recorded_at=row["recorded_at"]
        )
        for row in latest.values()
    ]


async def has_consent(*, account_id: UUID, purpose: Purpose) -> bool:
    """Say whether the person's consent for this purpose is in force."""
    return any(row.given for row in await list_consents(account_id=account_id) if row.purpose == purpose)
