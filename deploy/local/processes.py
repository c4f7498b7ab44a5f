"""Processes that outlive the command that started them: started, recorded, recognised again, stopped.

A record names the process by its number and its start time: numbers are used again, a pair of both is not.
What a start was killed before recording is found again by a mark in its environment.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from deploy.local import marks

_TAIL_LINES = 40


class StartFailed(Exception):  # noqa: N818  reads as the fact it reports
    """Something of the local stack did not come up; the text holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Account:
    """The user a process runs as, where that is not the caller."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Record:
    """One running process: what it is, and what proves that it is still the same one."""

    name: str
    pid: int
    started: str
    port: int
    version: str = ""


class Processes:
    """The records and logs of one stack folder."""

    def __init__(self, folder: Path) -> None:
        self.run = folder / "run"
        self.logs = folder / "logs"
        for path in (folder, self.run, self.logs):
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o700)

    def log_path(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def log_tail(self, name: str) -> str:
        """The end of the log, for the text of an error."""
        path = self.log_path(name)
        if not path.exists():
            return f"({path} was never written)"
        lines = path.read_text(errors="replace").splitlines()
        return "\n".join([f"--- end of {path} ---", *lines[-_TAIL_LINES:], "---"])

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        port: int,
        environment: Mapping[str, str] | None = None,
        account: Account | None = None,
        folder: Path | None = None,
        version: str = "",
    ) -> Record:
        """Start the command in a session of its own, its output appended to its log, and record it.

        Killed in between, it leaves an intent, by which `running` finds what was started.
        """
        self._write(self._intent_path(name), Record(name=name, pid=0, started="", port=port, version=version))
        given = dict(os.environ if environment is None else environment)
        with self.log_path(name).open("ab") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**given, **self.mark(name)},
                cwd=folder,
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        started = start_time(process.pid) or "gone"
        # Popen would warn about a child still running; who reaps it is decided by `stop`, perhaps in another process.
        process.returncode = 0
        record = Record(name=name, pid=process.pid, started=started, port=port, version=version)
        self._keep(record)
        return record

    def mark(self, name: str) -> dict[str, str]:
        """The variable that tells a process of this stack and name from every other one."""
        return {marks.VARIABLE: f"{self.run.parent.resolve()}/{name}"}

    def end_marked(self, name: str) -> None:
        """Kill whatever carries the mark: helpers of a start, which are not recorded and outlive its death."""
        for pid in marks.find(*self.mark(name).values()):
            if started := start_time(pid):
                end(Record(name, pid, started, 0), by=signal.SIGKILL, patience_seconds=10.0)

    def _keep(self, record: Record) -> None:
        self._write(self.run / f"{record.name}.json", record)
        self._intent_path(record.name).unlink(missing_ok=True)

    def _write(self, path: Path, record: Record) -> None:
        temporary = self.run / f".{path.name}.part"
        temporary.write_text(json.dumps(asdict(record)))
        temporary.replace(path)

    def _intent_path(self, name: str) -> Path:
        return self.run / f"{name}.intent"

    def recorded(self, name: str) -> Record | None:
        """What was started last under this name, running or not."""
        return _read(self.run / f"{name}.json")

    def running(self, name: str) -> Record | None:
        """The record, if the very process it names is alive; a stale record is removed, an orphan is recorded."""
        record = self.recorded(name)
        if record is None:
            return self._adopt(name)
        if is_alive(record):
            return record
        _collect(record)
        (self.run / f"{name}.json").unlink(missing_ok=True)
        return self._adopt(name)

    def _adopt(self, name: str) -> Record | None:
        """Record the process whose start was killed before it could; None if there is no such process."""
        intent = _read(self._intent_path(name))
        if intent is None:
            return None
        pid = next(iter(marks.find(*self.mark(name).values())), None)
        started = start_time(pid) if pid else None
        if pid is None or started is None:
            return None
        record = replace(intent, pid=pid, started=started)
        self._keep(record)
        return record

    def names(self) -> list[str]:
        """Of everything that was started and not stopped, running or not."""
        for path in self.run.glob("*.intent"):
            if self.recorded(path.stem) is None:
                self._adopt(path.stem)
        return sorted(path.stem for path in self.run.glob("*.json"))

    def forget(self, name: str) -> None:
        (self.run / f"{name}.json").unlink(missing_ok=True)
        self._intent_path(name).unlink(missing_ok=True)

    def stop(self, name: str, *, by: signal.Signals = signal.SIGTERM, patience_seconds: float = 30.0) -> bool:
        """Ask the process to end, wait for that, kill it if it does not. False: it was not running."""
        record = self.running(name)
        if record is None:
            return False
        end(record, by=by, patience_seconds=patience_seconds)
        self.forget(name)
        return True


def _read(path: Path) -> Record | None:
    try:
        return Record(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def start_time(pid: int) -> str | None:
    """When the process began, in the system's own words; None if it is gone (or dead and not yet collected)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _start_time_by_ps(pid)
    # The command's name stands in brackets and may hold anything: fields are counted from behind it.
    fields = text.rpartition(")")[2].split()
    state, started = fields[0], fields[19]
    return None if state in "ZX" else started


def _start_time_by_ps(pid: int) -> str | None:
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def is_alive(record: Record) -> bool:
    return start_time(record.pid) == record.started


def end(record: Record, *, by: signal.Signals, patience_seconds: float) -> None:
    """Signal the process and return when it is gone; killed when the patience is over."""
    for sent, patience in ((by, patience_seconds), (signal.SIGKILL, 10.0)):
        if not is_alive(record):
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, sent)
        if wait_for_end(record, patience):
            break
    _collect(record)


def _collect(record: Record) -> None:
    """Take a dead child off the process table: others, like Postgres' lock file, would take it for alive."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(record.pid, os.WNOHANG)


def wait_for_end(record: Record, seconds: float) -> bool:
    """True when the process has ended within the time."""
    try:
        handle = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return True
    except (AttributeError, OSError):
        return _poll_for_end(record, seconds)
    try:
        waiter = select.poll()
        waiter.register(handle, select.POLLIN)
        return bool(waiter.poll(seconds * 1000)) or not is_alive(record)
    finally:
        os.close(handle)


def _poll_for_end(record: Record, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(record):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
