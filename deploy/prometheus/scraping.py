"""Whom Prometheus asks: every process of every service, under the name of its service."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

JOB: Final = "platformbus"
SCRAPE_SECONDS: Final = 15.0


def configuration(
    targets: Mapping[str, Sequence[str]], *, rules: str, scrape_seconds: float = SCRAPE_SECONDS
) -> dict[str, Any]:
    """Prometheus' configuration: `targets` is service -> addresses as `host:port`, `rules` the path of the alerts."""
    every = f"{round(scrape_seconds * 1_000)}ms" if scrape_seconds % 1 else f"{scrape_seconds:g}s"
    return {
        "global": {"scrape_interval": every, "evaluation_interval": every},
        "rule_files": [rules],
        "scrape_configs": [
            {
                "job_name": JOB,
                "static_configs": [
                    {"targets": list(addresses), "labels": {"service": service}}
                    for service, addresses in targets.items()
                ],
            }
        ],
    }
