"""Sealing, which the backend undoes."""

from backend.core import crypto
from mqtt_bridge.seal import Sealer


class TestSealer:
    def test_writes_what_the_backend_reads(self) -> None:
        crypto.install_keyring(crypto.Keyring(keys={1: bytes(range(32))}, lookup_key=bytes(range(32, 64))))
        blob = Sealer({1: bytes(range(32))}).seal("京A12345".encode())
        assert crypto.decrypt(blob) == "京A12345"
        assert Sealer({1: bytes(range(32))}).seal(b"x") != Sealer({1: bytes(range(32))}).seal(b"x")
