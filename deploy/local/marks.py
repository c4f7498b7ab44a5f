"""Processes found by a mark in their environment, which they keep when the process that started them is killed."""

import subprocess
from pathlib import Path

VARIABLE = "PLATFORMBUS_STACK"
_PROC = Path("/proc")


def find(value: str) -> list[int]:
    """The living processes that carry this mark, those first that no other one of them started.

    Sees the caller's own processes, and everybody's if the caller is root.
    """
    mark = f"{VARIABLE}={value}"
    parents = _by_proc(mark) if (_PROC / "self/environ").exists() else _by_ps(mark)
    return sorted(parents, key=lambda pid: (parents[pid] in parents, pid))


def _by_proc(mark: str) -> dict[int, int]:
    parents: dict[int, int] = {}
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                # The command's name stands in brackets and may hold anything; state and parent follow it.
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return parents


def _by_ps(mark: str) -> dict[int, int]:
    """Where there is no /proc: the `ps` of macOS, whose -E adds the environment to the command."""
    command = ["ps", "-A", "-E", "-ww", "-o", "pid=,ppid=,command="]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    found = [line.split(None, 2)[:2] for line in lines if f" {mark} " in f"{line} "]
    return {int(pid): int(parent) for pid, parent in found}
