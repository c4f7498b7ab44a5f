"""`python -m deploy.local.tools`: put the distribution's Prometheus into `.local/tools`, and check that it works.

Needs a Debian or Ubuntu (apt-get, dpkg-deb) with a network; no root: the package lists go into a folder of our own,
the package is verified by apt against the distribution's keys, and unpacked, not installed. Only `.local` changes.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / ".local" / "tools"
PACKAGE: Final = "prometheus"
BINARIES: Final = ("prometheus", "promtool")
_ELSEWHERE: Final = (
    "elsewhere put `prometheus` and `promtool` on PATH, or let PROMETHEUS_URL name a server that can reach this machine"
)


class ToolMissing(Exception):  # noqa: N818  reads as the fact it reports
    """A tool cannot be put in place; the text says what it needs."""


def find(name: str, *, folder: Path = FOLDER, path: str | None = None) -> Path | None:
    """The tool that `make tools` put in place, else the one on PATH (or `path`), else None."""
    ours = folder / PACKAGE / "usr" / "bin" / name
    if ours.exists():
        return ours
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def fetch(*, folder: Path = FOLDER, path: str | None = None) -> None:
    """Download and unpack the package. Safe to run again, and after being cut off. Raises: ToolMissing."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool, path=path) is None:
            raise ToolMissing(f"`make tools` needs Debian or Ubuntu ({tool} is not here); {_ELSEWHERE}")
    working = folder / "working"
    shutil.rmtree(working, ignore_errors=True)
    for name in ("lists/partial", "cache/archives/partial", "unpacked"):
        (working / name).mkdir(parents=True)
    ours = ["-o", f"Dir::State::Lists={working}/lists", "-o", f"Dir::Cache={working}/cache"]
    if os.geteuid() == 0:
        ours += ["-o", "APT::Sandbox::User=root"]  # apt's own user may not enter our folder
    _run(["apt-get", *ours, "-qq", "update"], working)
    _run(["apt-get", *ours, "-qq", "download", PACKAGE], working)
    package = next(working.glob(f"{PACKAGE}_*.deb"))
    _run(["dpkg-deb", "-x", str(package), str(working / "unpacked")], working)
    target = folder / PACKAGE
    shutil.rmtree(target, ignore_errors=True)
    (working / "unpacked").rename(target)
    shutil.rmtree(working)


def check() -> list[str]:
    """Have the tools read our files; give a line of each. Raises: ToolMissing."""
    said = []
    for name in BINARIES:
        path = find(name)
        if path is None:
            raise ToolMissing(f"{name} is not here; {_ELSEWHERE}")
        said.append(f"{path}: {_run([str(path), '--version'], ROOT).splitlines()[0]}")
    promtool = str(find("promtool"))
    _run([promtool, "check", "rules", "deploy/prometheus/alerts.yml"], ROOT)
    _run([promtool, "check", "config", "--syntax-only", "deploy/prometheus/prometheus.yml"], ROOT)
    return said


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolMissing(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def main() -> int:
    try:
        if find("prometheus") is None or find("promtool") is None:
            print(f"downloading the distribution's {PACKAGE} into {FOLDER}")
            fetch()
        print("\n".join(check()))
    except ToolMissing as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
