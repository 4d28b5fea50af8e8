"""The migrations bring the database to what the tables say; ./dev check runs this."""

from importlib import import_module
from itertools import chain
from pathlib import Path

import pytest
from piccolo.apps.migrations.commands.new import AutoMigrationManager

from backend.cli import migrations
from backend.features import FEATURES

ROOT = Path(__file__).parents[2]


class TestMigrations:
    @pytest.mark.parametrize("feature", FEATURES)
    async def test_leave_nothing_to_migrate(self, feature: str) -> None:
        config = import_module(f"backend.{feature}.piccolo_app").APP_CONFIG
        # "n": a column that seems renamed is asked about; the answer must not wait for a person
        statements = await AutoMigrationManager(auto_input="n").get_alter_statements(app_config=config)
        missing = list(chain.from_iterable(part.statements for part in statements))
        assert missing == [], f"run: piccolo migrations new {feature} --auto"

    def test_have_each_its_own_id(self) -> None:
        known = migrations.known()
        assert len(known) == len(set(known))

    def test_have_each_its_own_file_name(self) -> None:
        # Piccolo imports them by bare name: of two with one name, one would run twice and the other never.
        names = [path.name for path in ROOT.glob("backend/*/piccolo_migrations/*.py") if path.name != "__init__.py"]
        assert sorted({name for name in names if names.count(name) > 1}) == []
