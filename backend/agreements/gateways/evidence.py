"""The evidence store: encrypted files by content, in a local folder; an S3-compatible one has the same methods."""

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Protocol
from uuid import UUID

from backend.core import crypto
from backend.core.ids import new_id


class EvidenceStore(Protocol):
    """Keeps the content of evidence and documents."""

    async def put(self, key: str, content: bytes) -> None:
        """Keep `content` under `key`, durably; the same key again is the same content."""
        ...

    async def get(self, key: str) -> bytes | None:
        """Return the content, or None when there is none."""
        ...

    async def delete(self, key: str) -> None:
        """Forget the content, if there is any."""
        ...


def store_key(owner_id: UUID, content: bytes) -> str:
    """Return the key of a content: a keyed hash over its SHA-256 and its owner.

    Keyed, so that the name of a file does not tell who holds a known document; with the owner, so that forgetting one
    person's file never touches another's.
    """
    return crypto.lookup_hash(f"evidence:{owner_id}:{hashlib.sha256(content).hexdigest()}").hex()


class LocalEvidence:
    """An `EvidenceStore` in a folder, two levels deep, each file AES-GCM with a key id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, key: str) -> Path:
        if not (key.isalnum() and key.isascii()):
            raise ValueError("a store key is hexadecimal")
        return self._folder / key[:2] / key[2:4] / key

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
        """Remove the file, if it is there."""
        await asyncio.to_thread(self._path(key).unlink, missing_ok=True)
