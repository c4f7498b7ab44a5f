"""Every variable that the code reads, taken from the settings classes themselves."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from pydantic import AliasChoices
from pydantic_settings import BaseSettings

ROOT = Path(__file__).parents[2]


def variables_of(settings: type[BaseSettings]) -> dict[str, list[str]]:
    """Field name -> the variables that set it, the main one first."""
    prefix = str(settings.model_config.get("env_prefix", ""))
    return {name: _names(prefix, name, field.validation_alias) for name, field in settings.model_fields.items()}


def settings_classes() -> Iterator[type[BaseSettings]]:
    """The classes that some `app.py` builds: those that name their variables."""
    files = [*(ROOT / "libs").rglob("settings.py"), *(ROOT / "services").glob("*/settings.py")]
    for path in sorted(files):
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        yield from _classes(module)


def all_variables() -> set[str]:
    return {name for cls in settings_classes() for names in variables_of(cls).values() for name in names}


def _classes(module: ModuleType) -> Iterator[type[BaseSettings]]:
    for value in vars(module).values():
        if not (isinstance(value, type) and issubclass(value, BaseSettings) and value.__module__ == module.__name__):
            continue
        if not value.__name__.startswith("_") and value.model_fields and value.__name__ != "ServiceSettings":
            yield value


def _names(prefix: str, field: str, alias: object) -> list[str]:
    if alias is None:
        return [f"{prefix}{field}".upper()]
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return [str(choice) for choice in choices]
