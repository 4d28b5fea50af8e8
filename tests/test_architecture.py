"""The rules of the house that import-linter cannot say, read from the code itself."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp
import pytest

from backend.features import FEATURES

ROOT = Path(__file__).parents[1]
SERVING = (*FEATURES[1:], "discovery", "privacy", "reports")
PRIVATE = ("tables", "store", "controllers", "schemas", "jobs", "gateways")
"""What no other feature may import: it calls the service, or reads rules and events."""
RULES_MAY_IMPORT = ("backend.core.units", "backend.core.errors")
"""Besides the standard library and msgspec's structs: units, and the errors a rule refuses with. No I/O, no clock."""
LONGEST_FILE = 480
"""The house splits at about 400; this is where "about" ends."""
PACKAGES = ("backend", "mqtt_bridge", "sandbox")


@cache
def graph() -> grimp.ImportGraph:
    """Return who imports whom."""
    return grimp.build_graph(*PACKAGES, include_external_packages=True)


def feature_of(module: str) -> str | None:
    """Return the feature a module of the backend belongs to, `core` included."""
    parts = module.split(".")
    return parts[1] if parts[0] == "backend" and len(parts) > 2 and parts[1] in (*SERVING, "core") else None


def source_files() -> Iterator[Path]:
    """Yield the source files that people write, migrations left out."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "piccolo_migrations" not in path.parts:
                yield path


class TestFeatures:
    @pytest.mark.parametrize("feature", SERVING)
    def test_reach_into_no_other_features_private_parts(self, feature: str) -> None:
        reached = [
            f"{importer} -> {imported}"
            for importer in graph().modules
            if feature_of(importer) == feature and "piccolo_migrations" not in importer
            for imported in graph().find_modules_directly_imported_by(importer)
            if feature_of(imported) not in (None, feature, "core") and is_private(imported)
        ]
        assert reached == []

    def test_of_the_backend_see_only_the_device_contract_of_the_bridge(self) -> None:
        seen = {
            imported
            for importer in graph().modules
            if importer.startswith("backend.")
            for imported in graph().find_modules_directly_imported_by(importer)
            if imported.startswith("mqtt_bridge")
        }
        assert seen <= {"mqtt_bridge", "mqtt_bridge.messages", "mqtt_bridge.topics"}


def is_private(module: str) -> bool:
    """Say whether another feature must keep its hands off `module`."""
    part = module.split(".")[2]
    return part.split("_")[0] in PRIVATE


class TestRules:
    @pytest.mark.parametrize("feature", SERVING)
    def test_import_no_framework_clock_or_database(self, feature: str) -> None:
        base = f"backend.{feature}.rules"
        foreign = [
            f"{module} -> {imported}"
            for module in graph().modules
            if module == base or module.startswith(f"{base}.")
            for imported in graph().find_modules_directly_imported_by(module)
            if not is_pure(imported)
        ]
        assert foreign == []


def is_pure(module: str) -> bool:
    """Say whether a rule may import `module`: pure values and decisions only."""
    top = module.split(".")[0]
    if top in sys.stdlib_module_names or top == "msgspec" or module in RULES_MAY_IMPORT:
        return True
    return module.startswith("backend.") and ".rules" in module


def public_things(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield the public functions of a module, and its classes that act (plain records explain themselves)."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            acts = any(isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) for inner in node.body)
            if acts and not node.name.startswith("_"):
                yield node.name, node
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node.name, node


class TestFiles:
    @pytest.mark.parametrize("path", list(source_files()), ids=lambda path: str(path.relative_to(ROOT)))
    def test_say_what_each_public_thing_does(self, path: Path) -> None:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        silent = [
            name
            for name, node in public_things(tree)
            if not ast.get_docstring(node)  # type: ignore[arg-type]
            and not is_overload(node)
            # the names of a store's functions (find_, list_, add_, ...) and its SQL say it
            and not path.stem.startswith("store")
        ]
        needs_none = path.name == "piccolo_app.py" or (path.name == "__init__.py" and not tree.body)
        assert (silent, bool(ast.get_docstring(tree)) or needs_none) == ([], True)

    def test_are_not_too_long(self) -> None:
        long = {
            str(path.relative_to(ROOT)): lines
            for path in source_files()
            if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST_FILE
        }
        assert long == {}

    def test_are_never_called_helpers_or_utils(self) -> None:
        assert [path for path in source_files() if path.stem in ("helpers", "utils", "util", "misc", "common")] == []

    def test_hold_no_address_of_a_package_registry(self) -> None:
        listed = [
            ROOT / name for name in ("requirements.txt", "requirements-dev.txt", "constraints.txt", "pyproject.toml")
        ]
        assert [path.name for path in listed if "://" in path.read_text(encoding="utf-8")] == []


def is_overload(node: ast.AST) -> bool:
    """Say whether a function only declares an overload."""
    decorators = getattr(node, "decorator_list", [])
    return any(isinstance(item, ast.Name) and item.id in ("overload", "override") for item in decorators)
