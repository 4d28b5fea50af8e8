"""The photo store: pictures encrypted with a key id, in a local folder; an object store has the same methods.

Built as the evidence store of agreements is; pictures of a station are no evidence about a person, so they lie apart.
"""

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Protocol
from uuid import UUID

from backend.core import crypto
from backend.core.ids import new_id


class PhotoStore(Protocol):
    """Keeps the content of pictures."""

    async def put(self, key: str, content: bytes) -> None:
        """Keep `content` under `key`, durably; the same key again is the same content."""
        ...

    async def get(self, key: str) -> bytes | None:
        """Return the content, or None when there is none."""
        ...

    async def delete(self, key: str) -> None:
        """Remove the content, if it is there."""
        ...


def photo_key(owner_id: UUID, content: bytes) -> str:
    """Return the key of a picture: a keyed hash over owner and content, so that its name tells nothing."""
    return crypto.lookup_hash(f"photo:{owner_id}:{hashlib.sha256(content).hexdigest()}").hex()


class LocalPhotos:
    """A `PhotoStore` in a folder, each file AES-GCM with a key id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, key: str) -> Path:
        if not (key.isalnum() and key.isascii()):
            raise ValueError("a store key is hexadecimal")
        return self._folder / key[:2] / key

    async def put(self, key: str, content: bytes) -> None:
        """Write the file beside its place, flush it, and move it there: a crash leaves the whole file or none."""
        await asyncio.to_thread(self._write, self._path(key), crypto.encrypt(content))

    @staticmethod
    def _write(path: Path, blob: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = path.with_name(f".{new_id().hex}")
        try:
            with beside.open("xb") as file:
                file.write(blob)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    async def get(self, key: str) -> bytes | None:
        """Read and decrypt the file."""
        try:
            blob = await asyncio.to_thread(self._path(key).read_bytes)
        except FileNotFoundError:
            return None
        return crypto.decrypt_bytes(blob)

    async def delete(self, key: str) -> None:
        """Remove the file."""
        await asyncio.to_thread(self._path(key).unlink, missing_ok=True)
