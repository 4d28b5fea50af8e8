"""The broker's files follow the registry, and change only when the registry did."""

from datetime import datetime
from pathlib import Path

from piccolo.engine.postgres import PostgresEngine

from backend.stations.rules.broker import matches_password
from sandbox.up.access import Access, known_bridge_hash, read_access, write_access

BRIDGE_URL = "mqtt://the-bridge:a%20password@127.0.0.1:1883"


class TestReadAccess:
    async def test_gives_the_bridge_the_name_and_password_of_its_address(
        self, database: PostgresEngine, now: datetime
    ) -> None:
        access = await read_access(BRIDGE_URL)
        name, _, hashed = access.passwords.splitlines()[0].partition(":")
        assert name == "the-bridge"
        assert matches_password("a password", hashed)

    async def test_keeps_a_hash_that_still_fits(self, database: PostgresEngine, tmp_path: Path) -> None:
        first = await read_access(BRIDGE_URL)
        write_access(tmp_path, first)
        assert await read_access(BRIDGE_URL, known_hash=known_bridge_hash(tmp_path, "the-bridge")) == first


class TestWriteAccess:
    def test_says_whether_anything_changed(self, tmp_path: Path) -> None:
        access = Access(passwords="C1:x\n", acl="user C1\n")
        assert write_access(tmp_path, access) is True
        assert write_access(tmp_path, access) is False
        assert write_access(tmp_path, Access(passwords="", acl="")) is True

    def test_lets_only_the_owner_read(self, tmp_path: Path) -> None:
        write_access(tmp_path, Access(passwords="C1:x\n", acl=""))
        assert (tmp_path / "passwords").stat().st_mode & 0o077 == 0
