"""Who was told what, on which channel, and when the provider took it: for the report of an incident."""

from backend.notifications import store_proof
from backend.notifications.store_proof import ProofRow

__all__ = ["ProofRow", "list_deliveries_of"]


async def list_deliveries_of(*, event_key_prefix: str) -> list[ProofRow]:
    """Return the deliveries of every message whose event key begins so, oldest first."""
    return await store_proof.list_by_prefix(event_key_prefix)
