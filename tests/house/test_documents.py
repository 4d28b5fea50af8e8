"""What is written for people is in step with what there is; ./dev check runs this."""

import json
import re
from pathlib import Path

import pytest

from backend.cli import linli
from backend.cli.openapi import openapi_text
from backend.core.settings import Settings

ROOT = Path(__file__).parents[2]
READABLE = ("README.md", "CHANGELOG.md", "docs/operating.md")


@pytest.fixture(scope="module")
def document() -> dict[str, dict[str, dict[str, dict[str, object]]]]:
    """The OpenAPI text."""
    made: dict[str, dict[str, dict[str, dict[str, object]]]] = json.loads(openapi_text())
    return made


class TestOpenapi:
    def test_is_version_3_1(self, document: dict[str, object]) -> None:
        assert str(document["openapi"]).startswith("3.1")

    def test_describes_every_operation(self, document: dict[str, dict[str, dict[str, dict[str, object]]]]) -> None:
        silent = [
            f"{method} {path}"
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
            if isinstance(operation, dict) and not (operation.get("summary") and operation.get("operationId"))
        ]
        assert silent == []

    def test_names_every_operation_once(self, document: dict[str, dict[str, dict[str, dict[str, object]]]]) -> None:
        names = [
            operation["operationId"]
            for operations in document["paths"].values()
            for operation in operations.values()
            if isinstance(operation, dict) and "operationId" in operation
        ]
        assert sorted({str(name) for name in names if names.count(name) > 1}) == []


class TestDocuments:
    @pytest.mark.parametrize("command", ["up", "story", "test", "check", "bench"])
    def test_readme_names_each_command_of_the_script(self, command: str) -> None:
        assert f"./dev {command}" in (ROOT / "README.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize("command", sorted(linli.commands))
    def test_operating_guide_names_each_command(self, command: str) -> None:
        assert f"linli {command}" in (ROOT / "docs/operating.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize("setting", Settings.__struct_fields__)
    def test_operating_guide_names_each_setting(self, setting: str) -> None:
        assert f"LINLI_{setting.upper()}" in (ROOT / "docs/operating.md").read_text(encoding="utf-8")

    def test_changelog_begins_with_the_present_version(self) -> None:
        version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
        first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
        assert version is not None
        assert first is not None
        assert first[1] == version[1]

    @pytest.mark.parametrize("name", READABLE)
    def test_links_to_files_that_exist(self, name: str) -> None:
        text = (ROOT / name).read_text(encoding="utf-8")
        targets = [target for target in re.findall(r"\]\(([^)#\s]+)\)", text) if "://" not in target]
        assert [target for target in targets if not (ROOT / name).parent.joinpath(target).exists()] == []
