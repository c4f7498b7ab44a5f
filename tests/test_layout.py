"""House rules that a machine can see: where files lie, how long they are, what they may say."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.platforms.registry import build_platforms
from libs.vocabulary import PlatformName

ROOT = Path(__file__).parents[1]
CODE = ("libs", "services", "deploy", "benchmarks")
LONGEST_FILE_LINES = 400
WORDS_WITHOUT_A_DUTY = {"utils", "util", "common", "helpers", "helper", "misc", "manager"}
PLATFORM_NAMES = {str(name) for name in PlatformName}
PLATFORM_FOLDERS = ROOT / "libs" / "platforms"
CARD_WORDS = ("Consumes", "Publishes", "Owns", "Calls")
SERVICE_FILES = {"__init__", "__main__", "app", "settings", "handlers", "api", "usecases", "store", "models", "metrics"}


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def services() -> list[str]:
    """The services that own a schema; sandbox and cli are built otherwise."""
    folders = (path.parent.name for path in (ROOT / "services").glob("*/__main__.py"))
    return sorted(name for name in folders if name not in {"sandbox", "cli"})


def test_platform_folders_enum_and_registry_name_the_same_platforms() -> None:
    folders = {path.parent.name for path in PLATFORM_FOLDERS.glob("*/__init__.py")}
    platforms = build_platforms(None)
    assert folders == {str(name) for name in platforms} == PLATFORM_NAMES
    assert {platform.name for platform in platforms.values()} == set(platforms)


def test_no_module_is_named_after_nothing() -> None:
    named = [relative(path) for path in python_files(*CODE, "tests") if WORDS_WITHOUT_A_DUTY & set(path.parts)]
    named += [relative(path) for path in python_files(*CODE, "tests") if path.stem in WORDS_WITHOUT_A_DUTY]
    assert named == []


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    long = {
        relative(path): lines
        for path in python_files(*CODE, "tests")
        if (lines := _count_lines(path)) > LONGEST_FILE_LINES
    }
    assert long == {}


def test_no_condition_on_a_platforms_name_outside_its_folder() -> None:
    """What differs between platforms is asked of the Platform record, never decided by name."""
    found = []
    for path in python_files("libs", "services"):
        if relative(path).startswith(("libs/platforms/", "services/sandbox/")):
            continue
        tree = ast.parse(path.read_text())
        found += [f"{relative(path)}:{line}" for line in _conditions_on_names(tree, PLATFORM_NAMES)]
    assert found == []


def test_nothing_but_the_command_prints() -> None:
    found = []
    for path in python_files("libs", "services"):
        if relative(path).startswith("services/cli/"):
            continue
        calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        found += [
            f"{relative(path)}:{c.lineno}" for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"
        ]
    assert found == []


@pytest.mark.parametrize("service", services())
def test_a_services_card_says_what_it_consumes_publishes_owns_and_calls(service: str) -> None:
    card = ast.get_docstring(ast.parse((ROOT / "services" / service / "__init__.py").read_text())) or ""
    missing = [word for word in CARD_WORDS if not re.search(rf"^\s*{word}\b", card, re.MULTILINE)]
    assert missing == []


@pytest.mark.parametrize("service", services())
def test_a_service_has_the_same_files_as_its_siblings(service: str) -> None:
    folder = ROOT / "services" / service
    present = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert present >= {"__init__", "__main__", "app", "settings", "handlers", "usecases", "store"}
    assert present <= SERVICE_FILES, f"{present - SERVICE_FILES}: a line has one home; see the list of files"


@pytest.mark.parametrize("service", services())
def test_every_service_starts_in_the_same_two_lines(service: str) -> None:
    text = (ROOT / "services" / service / "__main__.py").read_text()
    sibling = (ROOT / "services" / services()[0] / "__main__.py").read_text()
    assert text.replace(service, "<service>") == sibling.replace(services()[0], "<service>")


def test_the_test_tree_mirrors_the_code() -> None:
    """A test file is named after the file it tests, and lies in the same folder of the mirrored tree."""
    strays = []
    for path in python_files("tests"):
        parts = path.relative_to(ROOT / "tests").parts
        if not path.name.startswith("test_") or parts[0] not in {"libs", "services", "deploy", "benchmarks"}:
            continue
        if not (ROOT / Path(*parts[:-1])).is_dir():
            strays.append(relative(path))
    assert strays == []


def test_no_test_waits_by_sleeping() -> None:
    found = []
    for path in python_files("tests"):
        if path.name.startswith("test_"):
            calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
            found += [f"{relative(path)}:{call.lineno}" for call in calls if _is_a_real_sleep(call)]
    assert found == []


def test_migrations_say_first_why_and_when_they_run() -> None:
    files = [*(ROOT / "libs").rglob("migrations/*.sql"), *(ROOT / "services").rglob("migrations/*.sql")]
    assert files
    silent = [relative(path) for path in files if not re.match(r"-- \S.{20,}", path.read_text())]
    assert silent == []


def _count_lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def _conditions_on_names(tree: ast.AST, names: set[str]) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            compared = [node.left, *node.comparators]
            literals = [part.value for part in compared if isinstance(part, ast.Constant)]
            members = [member for part in compared if (member := _member(part))]
            if names & {*literals, *members}:
                yield node.lineno
        elif isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant) and node.value.value in names:
            yield node.lineno


def _member(node: ast.expr) -> str | None:
    """`PlatformName.META` -> "meta"."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "PlatformName":
        return node.attr.lower()
    return None


def _is_a_real_sleep(call: ast.Call) -> bool:
    """`asyncio.sleep(0)` gives way to other tasks; a random time is a place in time, not a wait for something."""
    function = call.func
    if not (isinstance(function, ast.Attribute) and function.attr == "sleep"):
        return False
    if not (isinstance(function.value, ast.Name) and function.value.id in {"asyncio", "time"}):
        return False
    argument = call.args[0] if call.args else None
    if isinstance(argument, ast.Constant) and argument.value == 0:
        return False
    drawn = [node.attr for node in ast.walk(call) if isinstance(node, ast.Attribute)]
    return not {"random", "uniform"} & set(drawn)
