"""Clients that are not ours, run as processes through the sandbox's proxy, and what their calls have proved."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from services.sandbox.coverage import read_coverage
from tests.support.sandbox import SandboxProcess

PATIENCE_SECONDS = 120


def run_client(sandbox: SandboxProcess, script: Path, given: Mapping[str, str], *arguments: str) -> dict[str, Any]:
    """What the script prints as JSON. All that it knows of the sandbox is in the environment."""
    ca_file = str(sandbox.ready["ca_file"])
    by_proxy = {"HTTPS_PROXY": str(sandbox.ready["proxy"]), "REQUESTS_CA_BUNDLE": ca_file, "SSL_CERT_FILE": ca_file}
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    ran = subprocess.run(
        [sys.executable, str(script), *arguments],
        input=json.dumps(given),
        env={**kept, **by_proxy},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def proved(calls: Iterable[Mapping[str, Any]]) -> set[str]:
    """Rows of the list of what is covered that these calls were answered by."""
    rows = {row.name for ability in read_coverage("meta") for row in ability.operations}
    called = {str(call["operation"]) for call in calls if (call["status"] or 500) < 400}
    return {name if name in rows else _general(name) for name in called}


def marked(client: str) -> set[str]:
    """Rows that the list says this client has proved."""
    return {row.name for ability in read_coverage("meta") for row in ability.operations if client in row.proved_by}


def _general(operation: str) -> str:
    """The row whose name is filled in from the path: `meta.page` is one `meta.{kind}`."""
    return "meta.{kind}.{edge}" if operation.count(".") == 2 else "meta.{kind}"
