"""Personal data at rest: AES-256-GCM with a key id, and a keyed hash for looking a value up without decrypting.

Source: domain.md "Personal data (PIPL)". A stored value is `key id (1 byte) || nonce (12) || ciphertext and tag`, so
that keys can be rotated: new values take the newest key, old ones name theirs.
"""

import hashlib
import hmac
import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Undecryptable(Exception):
    """A stored value was made with a key this process does not have, or was tampered with."""


@dataclass(frozen=True)
class Keyring:
    """The data keys by id (1..255; the highest encrypts) and the key of the lookup hash, each 32 bytes."""

    keys: dict[int, bytes]
    lookup_key: bytes


_keyring: Keyring | None = None


def install_keyring(keyring: Keyring) -> None:
    """Make `keyring` the keys of this process (composition root)."""
    global _keyring
    if not keyring.keys or any(len(key) != 32 for key in keyring.keys.values()) or len(keyring.lookup_key) < 32:
        raise ValueError("a keyring needs at least one data key of 32 bytes and a lookup key of at least 32")
    _keyring = keyring


def _installed() -> Keyring:
    if _keyring is None:
        raise RuntimeError("no keyring is installed: call core.crypto.install_keyring at the composition root")
    return _keyring


def encrypt(data: str | bytes) -> bytes:
    """Encrypt `data` under the newest key."""
    ring = _installed()
    key_id = max(ring.keys)
    nonce = os.urandom(12)
    plain = data.encode() if isinstance(data, str) else data
    return bytes([key_id]) + nonce + AESGCM(ring.keys[key_id]).encrypt(nonce, plain, bytes([key_id]))


def decrypt_bytes(blob: bytes) -> bytes:
    """Return the bytes `encrypt` was given; raises Undecryptable."""
    key = _installed().keys.get(blob[0]) if blob else None
    if key is None:
        raise Undecryptable(f"no key with id {blob[0] if blob else None}")
    try:
        return AESGCM(key).decrypt(blob[1:13], blob[13:], blob[:1])
    except InvalidTag as error:
        raise Undecryptable("the value does not authenticate") from error


def decrypt(blob: bytes) -> str:
    """Return the text `encrypt` was given; raises Undecryptable."""
    return decrypt_bytes(blob).decode()


def lookup_hash(text: str) -> bytes:
    """Return the keyed hash (HMAC-SHA-256, 32 bytes) by which an encrypted value is found again."""
    return hmac.new(_installed().lookup_key, text.encode(), hashlib.sha256).digest()
