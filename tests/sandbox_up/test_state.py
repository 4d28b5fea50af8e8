"""The state folder remembers what must be remembered, and shows it to nobody else."""

import stat
from pathlib import Path

import pytest

from sandbox.servers import processes
from sandbox.up import state as states
from sandbox.up.state import AlreadyRunning, State, open_state, read_env


@pytest.fixture
def state(tmp_path: Path) -> State:
    """An opened state folder in a path with a space."""
    return open_state(folder=tmp_path / "a state")


class TestState:
    def test_keeps_its_secrets(self, state: State) -> None:
        assert state.secrets() == state.secrets()

    def test_adds_a_secret_that_an_older_version_did_not_know(self, state: State) -> None:
        processes.write_private(state.folder / "secrets.json", '{"valkey": "old"}')
        known = state.secrets()
        assert known["valkey"] == "old"
        assert len(known["token_secret"]) >= 32

    @pytest.mark.parametrize("name", ["secrets.json", "env", "ports.json", "pids.json"])
    def test_lets_only_its_owner_read(self, state: State, name: str) -> None:
        state.secrets()
        state.write_env({"LINLI_X": "1"})
        state.write_ports({"api": 1})
        state.write_pids({"api": 1})
        assert stat.S_IMODE((state.folder / name).stat().st_mode) == 0o600

    def test_refuses_a_second_owner_until_the_first_has_closed(self, state: State) -> None:
        with pytest.raises(AlreadyRunning):
            open_state(folder=state.folder)
        state.close()
        open_state(folder=state.folder).close()

    def test_gives_each_name_a_port_of_its_own(self, state: State) -> None:
        ports = state.choose_ports({"a": 0, "b": 0, "c": 0})
        assert len(set(ports.values())) == 3

    def test_comes_back_to_the_ports_of_last_time(self, state: State) -> None:
        assert state.choose_ports({"a": 0}) == state.choose_ports({"a": 0})

    def test_forgets_everything_but_the_fetched_program(self, state: State) -> None:
        (state.folder / "mosquitto").mkdir()
        (state.folder / "postgres").mkdir()
        state.secrets()
        state.clear()
        assert sorted(path.name for path in state.folder.iterdir()) == ["mosquitto", "up.lock"]


class TestReadEnv:
    @pytest.mark.parametrize("value", ["plain", "with space", "quote's", "a=b", "", "邻里", "$HOME `id`"])
    def test_returns_what_was_written(self, state: State, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv("LINLI_STATE_DIR", str(state.folder))
        state.write_env({"LINLI_X": value})
        assert read_env() == {"LINLI_X": value}

    def test_is_empty_where_no_stack_ever_ran(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LINLI_STATE_DIR", str(tmp_path))
        assert read_env() == {}


class TestStateFolder:
    def test_differs_for_two_checkouts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LINLI_STATE_DIR", raising=False)
        assert states.state_folder(tmp_path / "one") != states.state_folder(tmp_path / "two")

    def test_can_be_reached_by_the_servers_user(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LINLI_STATE_DIR", raising=False)
        folder = states.state_folder(tmp_path)
        assert folder.is_relative_to(processes.STATE_OF_ROOT if processes.is_root() else tmp_path)
