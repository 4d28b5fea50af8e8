"""What subscribers of packages are told."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from asyncpg import Record

from backend.accounts import service as accounts
from backend.agreements.rules.terms import BEIJING
from backend.notifications import service as notifications


async def tell_withdrawn(*, package: Record, account_ids: Iterable[UUID], until: datetime, now: datetime) -> None:
    """Tell each of these people that their package (its row) ends at `until`; each once, in their language."""
    last = (until - timedelta(seconds=1)).astimezone(BEIJING)
    for account_id in sorted(account_ids):
        contact = await accounts.get_contact(account_id=account_id)
        await notifications.notify(
            recipient=account_id,
            event_key=f"package:{package['id']}:withdrawn",
            template="package_withdrawn",
            params={
                "kind": package["name_en" if contact.locale == "en" else "name_zh"],
                "until": f"{last:%Y-%m-%d}",
            },
            safety=False,
            now=now,
        )
