"""`python -m deploy.local up|down|status|env|migrate|demo`: the local stack from the command line."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from deploy.local import environment, prometheus, services
from deploy.local.database import apply_roles
from deploy.local.demo.faults import Victims
from deploy.local.demo.run import run_demo
from deploy.local.processes import StartFailed
from deploy.local.prometheus import Prometheus
from deploy.local.stack import SERVERS, Stack


def main() -> int:
    arguments = _parser().parse_args()
    stack = Stack(Path(arguments.dir))
    try:
        return int(arguments.run(stack, arguments) or 0)
    except StartFailed as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    parser.add_argument("--dir", default=".local", help="folder of data, logs and records (default .local)")
    verbs = parser.add_subparsers(required=True)
    up = verbs.add_parser("up", help="start everything that does not run, and say where it listens")
    up.add_argument("--only", default="", help=f"comma list of {','.join(SERVERS)}: those servers, and no service")
    up.set_defaults(run=_up)
    down = verbs.add_parser("down", help="stop everything")
    down.add_argument("--delete", action="store_true", help="and delete all data")
    down.set_defaults(run=_down)
    verbs.add_parser("status", help="what runs").set_defaults(run=_status)
    verbs.add_parser("env", help="the variables, as lines for a shell").set_defaults(run=_env)
    verbs.add_parser("migrate", help="bring every schema up to date").set_defaults(run=_migrate)
    demo = verbs.add_parser(
        "demo", help="start everything, drive traffic through it while parts are killed, report, stop"
    )
    demo.set_defaults(run=_demo)
    for verb in verbs.choices.values():
        verb.add_argument("--dir", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


def _up(stack: Stack, arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    only = [name for name in arguments.only.split(",") if name]
    unknown = set(only) - set(SERVERS)
    if unknown:
        print(f"--only takes {', '.join(SERVERS)}, not {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    asyncio.run(_start(stack, only))
    print(f"up after {time.monotonic() - began:.1f} s; variables: {stack.folder / 'env'}, logs: {stack.processes.logs}")
    return 0


def _demo(stack: Stack, _: argparse.Namespace) -> int:
    """Leaves running what ran before."""
    ran_before = set(stack.processes.names())
    try:
        return 0 if asyncio.run(_start_and_demonstrate(stack)) else 1
    finally:
        if not ran_before:
            _say("stopping")
            services.stop_all(stack)
            stack.stop()


async def _start_and_demonstrate(stack: Stack) -> bool:
    began = time.monotonic()
    await stack.start(SERVERS, _say)
    await apply_roles(stack.addresses().postgres_admin_dsn, environment.role_passwords(stack))
    values = await services.start_all(stack, _say)
    _say(f"everything runs after {time.monotonic() - began:.1f} s")

    def keep_key(key: str) -> None:
        environment.write(stack, {**values, "PLATFORMBUS_KEY": key})

    async def kill(name: str) -> None:
        await services.kill_and_start(stack, name, values)

    # Of what the caller's environment stands for, nothing is ours to kill.
    names = [name for name in ("webhook_receiver", "batcher", "postgres") if not stack.replaced(name)]
    return await run_demo(values, Console(), keep_key, Victims(names, kill))


async def _start(stack: Stack, only: list[str]) -> None:
    await stack.start(only or SERVERS, _say)
    if not only or "postgres" in only:
        await apply_roles(stack.addresses().postgres_admin_dsn, environment.role_passwords(stack))
    if only:
        environment.write(stack, environment.variables(stack, app_secrets={}, key=None))
    else:
        _watch(stack, await services.start_all(stack, _say))


def _watch(stack: Stack, values: Mapping[str, str]) -> None:
    """Start Prometheus where there is one."""
    if os.environ.get("PROMETHEUS_URL"):
        _say("prometheus: not started, PROMETHEUS_URL is set")
        return
    watcher = _prometheus(stack)
    targets = {name: [values[f"{name.upper()}_URL"].removeprefix("http://")] for name in services.declared()}
    if not watcher.start(targets):
        _say("prometheus: not started, it is not on this machine; `make tools` puts it into .local")
        return
    watcher.await_ready()
    _say(f"prometheus: {watcher.url()}")


def _prometheus(stack: Stack) -> Prometheus:
    return Prometheus(stack.folder, stack.processes, stack.ports)


def _down(stack: Stack, arguments: argparse.Namespace) -> int:
    died = [str(entry["name"]) for entry in services.status(stack) if not entry["alive"]]
    watcher = [prometheus.NAME] if _prometheus(stack).stop() else []
    stopped = [*watcher, *services.stop_all(stack), *stack.stop()]
    print(f"stopped: {', '.join(stopped) or 'nothing was running'}")
    if died:
        print(f"had ended before: {', '.join(died)}")
    if arguments.delete:
        _prometheus(stack).delete()
        stack.delete()
        print(f"deleted the data of {stack.folder}")
    return 0


def _status(stack: Stack, _: argparse.Namespace) -> int:
    entries = services.status(stack)
    for entry in entries:
        state = "runs" if entry["alive"] else "died"
        print(f"{entry['name']:<12} {state:<5} 127.0.0.1:{entry['port']}  pid {entry['pid']}")
    if not entries:
        print(f"nothing of {stack.folder} runs")
    return 0 if entries and all(entry["alive"] for entry in entries) else 3


def _env(stack: Stack, _: argparse.Namespace) -> int:
    path = stack.folder / "env"
    if not path.exists():
        print(f"{path} does not exist: start the stack with `make up`", file=sys.stderr)
        return 1
    print(path.read_text(), end="")
    return 0


def _migrate(stack: Stack, _: argparse.Namespace) -> int:
    asyncio.run(_migrate_all(stack))
    return 0


async def _migrate_all(stack: Stack) -> None:
    await stack.start(("postgres",), _say)
    await apply_roles(stack.addresses().postgres_admin_dsn, environment.role_passwords(stack))
    values = environment.variables(stack, app_secrets={}, key=None)
    await services.migrate(values, _say)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
