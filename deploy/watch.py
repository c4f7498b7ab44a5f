"""`python -m deploy.watch [--check]`: write, or compare, what Prometheus and Grafana are given.

The code is in deploy/prometheus and deploy/grafana; the files it makes are committed, so that they can be read and
used without it.
"""

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana import flow
from deploy.local.environment import SERVICES
from deploy.prometheus import alerts, scraping

ROOT: Final = Path(__file__).parents[1]
_HEAD: Final = "# Written by `python -m deploy.watch`; the code is in deploy/prometheus/.\n"


def files() -> dict[Path, str]:
    """Every file with its text."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    targets = {name: [f"{name}:{compose[name]['environment'][f'{name.upper()}_PORT']}"] for name in SERVICES}
    configuration = scraping.configuration(targets, rules="/etc/prometheus/alerts.yml")
    return {
        ROOT / "deploy/prometheus/prometheus.yml": _HEAD + as_yaml(configuration),
        ROOT / "deploy/prometheus/alerts.yml": _HEAD + as_yaml(alerts.rules()),
        ROOT / "deploy/grafana/dashboards/flow.json": JSONEncoder(sort_keys=True, indent=2).encode(flow.build()) + "\n",
    }


def as_yaml(value: dict[str, Any]) -> str:
    """As text whose lines are not folded: an expression is read as it was written."""
    return yaml.dump(value, Dumper=_Readable, sort_keys=False, width=10_000)


class _Readable(yaml.SafeDumper):
    """Writes texts of several lines as such."""


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _write_text)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.watch", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is not what it should be")
    check = parser.parse_args().check
    stale = [path for path, text in files().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if check:
            sys.stderr.write(f"{path.relative_to(ROOT)} is out of date: run `python -m deploy.watch`\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files()[path])
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
