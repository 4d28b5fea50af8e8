"""The first screen shows what a newcomer needs: addresses, logins, and things to try that work as they stand."""

import shlex
from pathlib import Path

import pytest

from sandbox.up.screen import first_screen
from sandbox.up.state import open_state
from tests.cast import CAST


@pytest.fixture
def screen(tmp_path: Path) -> str:
    """The screen of a stack on made-up ports."""
    environment = {
        "LINLI_PUBLIC_URL": "http://127.0.0.1:8000",
        "LINLI_SANDBOX_PORT": "8100",
        "LINLI_MQTT_URL": "mqtt://linli-bridge:hidden-password@127.0.0.1:1883",
    }
    state = open_state(folder=tmp_path / "state")
    return first_screen(environment=environment, broker="Mosquitto 2.0.11", took_s=4.2, state=state)


class TestFirstScreen:
    @pytest.mark.parametrize("address", ["http://127.0.0.1:8000", "http://127.0.0.1:8100", "mqtt://127.0.0.1:1883"])
    def test_names_each_address(self, screen: str, address: str) -> None:
        assert address in screen

    @pytest.mark.parametrize("person", CAST, ids=lambda person: person.key)
    def test_names_each_login_of_the_cast(self, screen: str, person: object) -> None:
        line = next(line for line in screen.splitlines() if getattr(person, "phone", "") in line)
        assert getattr(person, "key", "") in line

    def test_shows_no_password(self, screen: str) -> None:
        assert "hidden-password" not in screen

    def test_offers_commands_that_a_shell_can_read(self, screen: str) -> None:
        commands = [shlex.split(line, comments=True) for line in screen.splitlines() if line.strip().startswith("curl")]
        assert len(commands) == 3
        assert '{"phone": "13800000001"}' in commands[0]
        assert "lat=" in commands[2][1]
