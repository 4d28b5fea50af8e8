"""Identifiers: UUIDv7, so that rows made one after another lie beside each other in an index."""

from uuid import UUID

import uuid_utils.compat


def new_id() -> UUID:
    """Return a fresh UUIDv7 (RFC 9562), sortable by the millisecond it was made."""
    return uuid_utils.compat.uuid7()
