"""Encrypting what may hold personal data before it is stored: plates, VINs, and whatever a dead letter contains.

The same form as `backend.core.crypto`, which reads it: key id (1 byte), nonce (12), AES-256-GCM ciphertext and tag,
the key id as associated data. Written again here because the bridge imports nothing of the backend; a test holds the
two together.
"""

import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mqtt_bridge.messages import CameraEvent, ChargerEvent, Payload


class Sealer:
    """Encrypts under the newest of the data keys (by id, 32 bytes each)."""

    def __init__(self, keys: dict[int, bytes]) -> None:
        self._id = bytes([max(keys)])
        self._cipher = AESGCM(keys[max(keys)])

    def seal(self, data: bytes) -> bytes:
        """The stored form of `data`."""
        nonce = os.urandom(12)
        return self._id + nonce + self._cipher.encrypt(nonce, data, self._id)


def is_personal(message: Payload) -> bool:
    """Whether a message carries a plate or a VIN, and is stored sealed."""
    return (isinstance(message, CameraEvent) and message.plate is not None) or (
        isinstance(message, ChargerEvent) and message.bms is not None
    )
