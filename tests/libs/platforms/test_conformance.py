"""A platform with an ability keeps what all platforms with it must keep: its tests inherit the ability's classes."""

import ast
from pathlib import Path

import pytest

from libs.platforms.registry import build_platforms
from libs.vocabulary import PlatformName

FOLDER = Path(__file__).parent
CLASSES_BY_ABILITY = {
    "batching": {"BatchingConformance", "LimitsConformance", "SharingConformance", "PagingConformance"},
    "tokens": {"TokensConformance"},
    "assets": {"AssetsConformance"},
    "webhooks": {"WebhooksConformance"},
}


@pytest.mark.parametrize("name", list(PlatformName))
def test_every_ability_inherits_its_part_of_the_suite(name: PlatformName) -> None:
    platform = build_platforms(None)[name]
    files = (FOLDER / name.value).rglob("test_*.py")
    nodes = (node for path in files for node in ast.walk(ast.parse(path.read_text())))
    inherited = {
        base.id for node in nodes if isinstance(node, ast.ClassDef) for base in node.bases if isinstance(base, ast.Name)
    }
    abilities = [ability for ability in CLASSES_BY_ABILITY if getattr(platform, ability) is not None]
    assert abilities
    assert {each for ability in abilities for each in CLASSES_BY_ABILITY[ability]} - inherited == set()


def test_every_class_of_the_suite_belongs_to_an_ability_or_to_all() -> None:
    files = (path for path in (FOLDER / "conformance").glob("*.py"))
    nodes = [node for path in files for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    named = {node.name for node in nodes if node.name.endswith("Conformance")}
    assert named == {each for classes in CLASSES_BY_ABILITY.values() for each in classes} | {"ErrorsConformance"}
