"""What an operator types, as a process of its own: exit codes and words."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.servers.postgres import PostgresServer
from sandbox.servers.valkey import ValkeyServer

ROOT = Path(__file__).parents[2]
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.fixture(scope="module")
def environment(
    postgres: PostgresServer, valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The settings of a stack whose broker is away and whose outside world was never set up."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LINLI_")}
    return {
        **plain,
        "LINLI_STATE_DIR": str(tmp_path_factory.mktemp("state")),
        "LINLI_DATABASE_URL": postgres.app_url,
        "LINLI_OWNER_DATABASE_URL": postgres.owner_url,
        "LINLI_REDIS_URL": valkey_server.url,
        "LINLI_MQTT_URL": "mqtt://bridge:secret-of-the-bridge@127.0.0.1:9",
        "LINLI_TOKEN_SECRET": "t" * 40,
        "LINLI_DATA_KEYS": f"1:{KEY}",
        "LINLI_LOOKUP_KEY": KEY,
        "COLUMNS": "200",
    }


def linli(*arguments: str | Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run the command and return what came of it."""
    return subprocess.run(
        [sys.executable, "-m", "backend.cli", *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class TestLinli:
    def test_lists_its_commands(self, environment: dict[str, str]) -> None:
        words = linli("--help", environment=environment).stdout.split()
        assert {"up", "api", "bridge", "ingest", "worker", "migrate", "seed", "import", "doctor", "openapi"} <= set(
            words
        )

    def test_names_every_missing_setting_at_once(self, environment: dict[str, str]) -> None:
        bare = {name: value for name, value in environment.items() if name not in ("LINLI_REDIS_URL", "LINLI_MQTT_URL")}
        result = linli("worker", environment=bare)
        assert result.returncode == 2
        assert "LINLI_REDIS_URL" in result.stderr
        assert "LINLI_MQTT_URL" in result.stderr
        assert "Traceback" not in result.stderr


class TestMigrate:
    def test_finds_nothing_to_do_in_a_migrated_database(self, environment: dict[str, str]) -> None:
        assert linli("migrate", "--check", environment=environment).returncode == 0

    def test_wants_the_owners_address(self, environment: dict[str, str]) -> None:
        bare = {name: value for name, value in environment.items() if name != "LINLI_OWNER_DATABASE_URL"}
        result = linli("migrate", environment=bare)
        assert result.returncode == 2
        assert "LINLI_OWNER_DATABASE_URL" in result.stderr


class TestDoctor:
    def test_says_what_answers_and_what_does_not(self, environment: dict[str, str]) -> None:
        result = linli("doctor", environment=environment)
        assert result.returncode == 1
        assert "✓ PostgreSQL" in result.stdout
        assert "role linli_app" in result.stdout
        assert "✓ migrations" in result.stdout
        assert "✗ MQTT broker" in result.stdout
        assert "appendfsync always" in result.stdout  # the tests' Valkey keeps nothing

    def test_shows_no_password(self, environment: dict[str, str], postgres: PostgresServer) -> None:
        said = linli("doctor", environment=environment).stdout
        assert "secret-of-the-bridge" not in said
        assert postgres.passwords.app not in said

    def test_survives_a_database_that_is_away(self, environment: dict[str, str]) -> None:
        away = {**environment, "LINLI_DATABASE_URL": "postgresql://linli_app:x@127.0.0.1:9/linli"}
        result = linli("doctor", environment=away)
        assert result.returncode == 1
        assert "✗ PostgreSQL" in result.stdout
        assert "Traceback" not in result.stderr


class TestOpenapi:
    def test_needs_no_server_and_no_setting(self, tmp_path: Path) -> None:
        bare = {name: value for name, value in os.environ.items() if not name.startswith("LINLI_")}
        target = tmp_path / "openapi.json"
        result = linli("openapi", "--out", target, environment={**bare, "LINLI_STATE_DIR": str(tmp_path)})
        assert result.returncode == 0, result.stderr
        assert json.loads(target.read_text(encoding="utf-8"))["openapi"].startswith("3.1")


class TestImport:
    def test_refuses_a_file_that_is_no_table_of_stations(self, environment: dict[str, str], tmp_path: Path) -> None:
        file = tmp_path / "broken.csv"
        file.write_text("what,is,this\n1,2,3\n", encoding="utf-8")
        result = linli("import", "stations", file, environment=environment)
        assert result.returncode == 1
        assert "header" in result.stderr
        assert "Traceback" not in result.stderr


class TestSimulateWeek:
    def test_prints_the_figures_and_draws_them_without_any_server(
        self, environment: dict[str, str], tmp_path: Path
    ) -> None:
        guns = ("--resident-dc", "1", "--resident-ac", "1", "--public-dc", "0", "--weeks", "2")
        result = linli("simulate", "week", *guns, "--png", tmp_path / "week.png", environment=environment)
        assert result.returncode == 0, result.stderr
        for word in ("utilisation", "wait p95", "mean absolute error", "into the night", "Signing limit:"):
            assert word in result.stdout
        assert (tmp_path / "week.png").read_bytes().startswith(b"\x89PNG")

    def test_lists_the_faults_of_a_file_by_line(self, environment: dict[str, str], tmp_path: Path) -> None:
        file = tmp_path / "week.csv"
        file.write_text("vehicle,resident,arrives_at,energy_kwh\na,yes,never,20\n")
        result = linli("simulate", "week", "--demand", file, environment=environment)
        assert result.returncode == 1
        assert "line 2: arrives_at is 'never'" in result.stderr
        assert "Traceback" not in result.stderr

    def test_knows_its_presets(self, environment: dict[str, str]) -> None:
        result = linli("simulate", "week", "--demand", "holiday", environment=environment)
        assert result.returncode == 1
        assert "compound" in result.stderr

    def test_stores_a_limit_only_for_a_registered_station(self, environment: dict[str, str]) -> None:
        assert linli("simulate", "week", "--set-limit", environment=environment).returncode == 2
        assert linli("simulate", "week", "--refuse", environment=environment).returncode == 2
