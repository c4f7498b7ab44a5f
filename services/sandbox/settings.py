"""What the sandbox is started with."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Size = Literal["small", "large"]
SIZES: tuple[Size, ...] = get_args(Size)


@dataclass(frozen=True, slots=True)
class Settings:
    """One start of the sandbox."""

    seed: int
    size: Size
    host: str
    port: int
    """0 lets the system choose; the ready line says which."""
    proxy_port: int
    ready_file: Path | None


def parse_settings(arguments: Sequence[str] | None = None) -> Settings:
    """Read the command line. Exits with a usage text if it cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m services.sandbox", description="A stand-in for the platforms.")
    parser.add_argument("--seed", type=int, default=7, help="the world is made from this number")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; a container needs 0.0.0.0")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--proxy-port", type=int, default=0, help="of the forward proxy; 0: any free port")
    parser.add_argument("--ready-file", type=Path, default=None, help="gets the ready line when calls are answered")
    given = parser.parse_args(arguments)
    return Settings(
        seed=given.seed,
        size=given.size,
        host=given.host,
        port=given.port,
        proxy_port=given.proxy_port,
        ready_file=given.ready_file,
    )
