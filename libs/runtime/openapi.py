"""Writes docs/openapi/<service>.json: `python -m libs.runtime.openapi [--check]`.

A service takes part by offering, in its `api.py`, a pure function `build_routers(deps) -> Sequence[APIRouter]`. It may
close over `deps` but touches it only inside route functions, because here it gets a stand-in that does nothing:
documents are made without settings, database or broker.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from fastapi import APIRouter

from libs.postgres.schemas import SCHEMAS
from libs.runtime.admin import admin_router
from libs.runtime.health import Health
from libs.runtime.http import create_app
from libs.runtime.trace import trace_router

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "openapi"


class StandIn:
    """Takes the place of a service's dependencies while its routes are only described."""

    def __getattr__(self, name: str) -> "StandIn":
        return StandIn()


def build_document(service: str) -> dict[str, Any]:
    """Give the OpenAPI document of a service, without any I/O."""
    api = importlib.import_module(f"services.{service}.api")
    build = cast("Callable[[Any], Sequence[APIRouter]]", api.build_routers)
    card = importlib.import_module(f"services.{service}")
    nothing = cast("Any", StandIn())
    routers = [*build(nothing), admin_router(nothing), trace_router(service, nothing, nothing)]
    app = create_app(service, routers=routers, health=Health(), description=(card.__doc__ or "").strip())
    return app.openapi()


def render(document: dict[str, Any]) -> str:
    """Give the text that is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write_documents(folder: Path = FOLDER) -> list[Path]:
    """Write every service's document; give the files whose text changed."""
    folder.mkdir(parents=True, exist_ok=True)
    return [path for path, text in _documents(folder) if _write_if_new(path, text)]


def stale_documents(folder: Path = FOLDER) -> list[Path]:
    """Give the files that are missing or differ from the code."""
    return [path for path, text in _documents(folder) if not path.exists() or path.read_text() != text]


def main(arguments: Sequence[str]) -> int:
    """Write the documents, or with `--check` only compare; 1 when a committed one is stale."""
    parser = argparse.ArgumentParser(prog="python -m libs.runtime.openapi", description="Write docs/openapi")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a document is stale")
    if not parser.parse_args(arguments).check:
        for path in write_documents():
            sys.stdout.write(f"wrote {path}\n")
        return 0
    stale = stale_documents()
    for path in stale:
        sys.stderr.write(f"{path} is stale: run `python -m libs.runtime.openapi`\n")
    return 1 if stale else 0


def _documents(folder: Path) -> list[tuple[Path, str]]:
    return [(folder / f"{service}.json", render(build_document(service))) for service in SCHEMAS]


def _write_if_new(path: Path, text: str) -> bool:
    if path.exists() and path.read_text() == text:
        return False
    path.write_text(text)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
