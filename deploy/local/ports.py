"""Free ports, chosen once and kept over restarts, so that an address written down stays true."""

import json
import random
import socket
from collections.abc import Collection
from pathlib import Path

# Below the range that systems give to outgoing connections: nothing takes the port while its server is restarted.
_FIRST, _LAST = 20_000, 32_000


class Ports:
    """The ports of one stack folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._known: dict[str, int] = {str(k): int(v) for k, v in json.loads(path.read_text()).items()}
        except (FileNotFoundError, ValueError, AttributeError):
            self._known = {}

    def get(self, name: str) -> int:
        """The port of this name; a new one if it has none, or somebody else listens there by now.

        Call only while the owner of the name is not running.
        """
        port = self._known.get(name)
        if port is None or not is_free(port):
            port = choose(taken=self._known.values())
            self._known[name] = port
            self._path.write_text(json.dumps(self._known, indent=1, sort_keys=True))
        return port

    def get_known(self, name: str) -> int:
        """The port of this name as it was chosen, taken or not; a new one if it has none."""
        return self._known.get(name) or self.get(name)

    def known(self, name: str) -> int | None:
        return self._known.get(name)


def choose(taken: Collection[int] = ()) -> int:
    """A port that is free now and not among those taken. Raises: OSError if there is none."""
    for _ in range(1000):
        port = random.randrange(_FIRST, _LAST)  # noqa: S311 - not a secret
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no free port found between {_FIRST} and {_LAST}")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
