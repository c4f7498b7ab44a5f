"""Real service processes for end-to-end tests: started, awaited, killed, started again by whoever watches them."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx
import psutil

ROOT = Path(__file__).parents[2]
_READY_SECONDS = 120.0
_STOP_SECONDS = 40.0
_TAIL_LINES = 30


class ProcessFailed(AssertionError):  # noqa: N818  reads as the fact it reports
    """A process did not do what a test needs of it; the text holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One process: which module with which arguments, and how to see that it is ready."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    ready_url: str


@dataclass(frozen=True, slots=True)
class Life:
    """One start of a process, from its beginning to its end; times are of the monotonic clock."""

    began_at: float
    ended_at: float
    code: int
    was_killed: bool
    """By `Watched.kill`."""
    said: str
    """What it wrote to its log."""


@dataclass(slots=True)
class Watched:
    """A process that is started again whenever it ends, until it is stopped."""

    spec: Spec
    log: Path
    starts: int = 0
    lives: list[Life] = field(default_factory=list)
    """Those that are over."""
    _began_at: float = 0.0
    _logged_bytes: int = 0
    _killed: bool = False
    _process: asyncio.subprocess.Process | None = None
    _watch: asyncio.Task[None] | None = None
    _stopping: bool = False
    _running: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        """Start, and keep it started from now on."""
        await self._spawn()
        self._watch = asyncio.create_task(self._start_again_when_it_ends(), name=f"watch {self.spec.name}")

    async def ready(self, seconds: float = _READY_SECONDS) -> None:
        """Return when the process says that it is ready. Raises: ProcessFailed."""
        said = "nothing listens yet"
        deadline = time.monotonic() + seconds
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            while time.monotonic() < deadline:
                try:
                    answer = await client.get(self.spec.ready_url)
                    if answer.status_code == 200:
                        return
                    said = f"{answer.status_code} {answer.text[:300]}"
                except httpx.HTTPError as error:
                    said = repr(error)
                if self.starts > 1 and self.lives and self.lives[-1].code > 0:
                    break
                await asyncio.sleep(0.02)
        raise ProcessFailed(f"{self.spec.name} is not ready: {said}\n{self.tail()}")

    async def kill(self) -> None:
        """SIGKILL, and return when another process has been started in its place."""
        await self._running.wait()
        if self._process is None:
            raise ProcessFailed(f"{self.spec.name} was never started")
        self._running.clear()
        self._killed = True
        self._process.send_signal(signal.SIGKILL)
        await self._running.wait()

    def freeze(self) -> None:
        """SIGSTOP: the process stands still, its leases and sessions go on."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    async def stop(self) -> int:
        """SIGTERM, and give the exit code. Raises: ProcessFailed if it does not drain in time."""
        self._stopping = True
        if self._watch:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except TimeoutError as error:
            self._process.kill()
            await self._process.wait()
            raise ProcessFailed(f"{self.spec.name} did not drain\n{self.tail()}") from error

    def pid(self) -> int | None:
        """Of the process that runs now; None between an end and the next start."""
        return self._process.pid if self._process and self._process.returncode is None else None

    def used(self) -> psutil.Process:
        """For what the process has used until now: memory, time of CPU."""
        if self._process is None:
            raise ProcessFailed(f"{self.spec.name} was never started")
        return psutil.Process(self._process.pid)

    def tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"--- end of {self.log} ---", *lines[-_TAIL_LINES:]])

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self._process.returncode is None:
            self._process.send_signal(number)

    async def _spawn(self) -> None:
        self._killed = False
        self._began_at = time.monotonic()
        with self.log.open("ab") as log:
            self._logged_bytes = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *self.spec.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={"PATH": os.environ.get("PATH", ""), **self.spec.environment},
            )
        self.starts += 1
        self._running.set()

    async def _start_again_when_it_ends(self) -> None:
        while self._process and not self._stopping:
            code = await self._process.wait()
            said = self.log.read_bytes()[self._logged_bytes :].decode(errors="replace")
            self.lives.append(Life(self._began_at, time.monotonic(), code, self._killed, said))
            if not self._stopping:
                await self._spawn()


class Fleet:
    """The processes of one test environment, by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._watched: dict[str, Watched] = {}

    def __getitem__(self, name: str) -> Watched:
        return self._watched[name]

    def names(self) -> list[str]:
        return list(self._watched)

    async def start(self, *specs: Spec) -> None:
        """Start them all and return when every one is ready."""
        for spec in specs:
            watched = Watched(spec, self._folder / f"{spec.name}.log")
            self._watched[spec.name] = watched
            await watched.start()
        await self.ready(*(spec.name for spec in specs))

    async def ready(self, *names: str) -> None:
        """Return when these, or all, are ready."""
        await asyncio.gather(*(self._watched[name].ready() for name in names or self._watched))

    async def stop(self, *names: str) -> dict[str, int]:
        """Stop these, or all, in reverse order of their start; exit code by name."""
        chosen = [name for name in reversed(self._watched) if not names or name in names]
        codes = await asyncio.gather(*(self._watched.pop(name).stop() for name in chosen))
        return dict(zip(chosen, codes, strict=True))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
