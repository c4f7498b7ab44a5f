"""Deliveries as Meta's documents show them, with what we make of each; each file says which page it follows."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parents[1] / "libs" / "platforms" / "meta" / "webhooks" / "deliveries"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One file."""

    name: str
    delivery: Any
    changes: list[dict[str, Any]]
    """Of each change: field, change_type, account, key, occurred_at."""

    @property
    def body(self) -> bytes:
        """The bytes, with letters beyond ASCII escaped in lower case, as Meta writes them."""
        return json.dumps(self.delivery, separators=(",", ":")).encode()


def recorded() -> list[Recorded]:
    """Give every recorded delivery, by name."""
    return [_read(path) for path in sorted(FOLDER.glob("*.json"))]


def recorded_of_nobody() -> list[Recorded]:
    """Give the deliveries about what nobody connects: people, permissions, the app itself."""
    return [_read(path) for path in sorted((FOLDER / "unowned").glob("*.json"))]


def bodies() -> list[bytes]:
    """Give the body of every recorded delivery."""
    return [delivery.body for delivery in recorded()]


def _read(path: Path) -> Recorded:
    content = json.loads(path.read_text())
    return Recorded(path.stem, content["delivery"], content["changes"])
