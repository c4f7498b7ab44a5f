"""The embedded stack: nothing is lost when a server is killed, and a dead run's records deceive nobody."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from valkey.asyncio import Valkey

from deploy.local import kafka_jars, services
from deploy.local.ports import Ports
from deploy.local.processes import Processes, Record, StartFailed, is_alive, start_time, wait_for_end
from deploy.local.stack import Stack

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack of this module's own: it is killed here, and others use the session's."""
    made = Stack(tmp_path_factory.mktemp("stack"), environment={}, heap_mb=256)
    try:
        await made.start(report=_say_nothing)
        yield made
    finally:
        made.delete()


def _say_nothing(_: str) -> None:
    pass


async def _killed_and_started(stack: Stack, name: str) -> tuple[Record, Record]:
    """Kill the server with SIGKILL and start it again; its records before and after."""
    before = stack.processes.running(name)
    assert before is not None
    os.kill(before.pid, signal.SIGKILL)
    assert wait_for_end(before, 10)
    await stack.start((name,), _say_nothing)
    after = stack.processes.running(name)
    assert after is not None
    return before, after


async def test_postgres_keeps_what_was_committed_when_it_is_killed(stack: Stack) -> None:
    connection = await asyncpg.connect(stack.addresses().postgres_admin_dsn)
    await connection.execute("CREATE TABLE kept (id int)")
    await connection.execute("INSERT INTO kept VALUES (42)")
    before, after = await _killed_and_started(stack, "postgres")
    connection.terminate()
    connection = await asyncpg.connect(stack.addresses().postgres_admin_dsn)
    assert await connection.fetchval("SELECT id FROM kept") == 42
    await connection.close()
    assert (before.port, before.pid) != (after.port, after.pid)
    assert before.port == after.port


async def test_kafka_keeps_what_was_acknowledged_when_it_is_killed(stack: Stack) -> None:
    bootstrap = stack.addresses().kafka_bootstrap
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        for number in range(10):
            await producer.send_and_wait("kept", str(number).encode())
    before, after = await _killed_and_started(stack, "kafka")
    async with AIOKafkaConsumer("kept", bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        values = [(await consumer.getone()).value for _ in range(10)]
    assert values == [str(number).encode() for number in range(10)]
    assert before.port == after.port


async def test_valkey_keeps_what_was_set_when_it_is_killed(stack: Stack) -> None:
    async with Valkey.from_url(stack.addresses().valkey_url) as client:
        await client.set("kept", "yes")
    before, after = await _killed_and_started(stack, "valkey")
    async with Valkey.from_url(stack.addresses().valkey_url) as client:
        assert await client.get("kept") == b"yes"
    assert before.port == after.port


async def test_starting_what_runs_changes_nothing(stack: Stack) -> None:
    before = [stack.processes.running(name) for name in ("postgres", "kafka", "valkey")]
    await stack.start(report=_say_nothing)
    assert [stack.processes.running(name) for name in ("postgres", "kafka", "valkey")] == before


async def test_an_address_in_the_environment_replaces_a_server(tmp_path: Path) -> None:
    given = {"KAFKA_BOOTSTRAP_SERVERS": "broker:9092", "POSTGRES_ADMIN_DSN": "postgresql://a:b@db/x", "VALKEY_URL": "v"}
    stack = Stack(tmp_path, environment=given)
    await stack.start(report=_say_nothing)
    assert stack.addresses().kafka_bootstrap == "broker:9092"
    assert stack.processes.names() == []


def test_a_record_whose_number_belongs_to_somebody_else_is_stale(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    record = Record(name="kafka", pid=os.getpid(), started="long ago", port=1)
    (processes.run / "kafka.json").write_text(json.dumps(asdict(record)))
    assert processes.running("kafka") is None
    assert processes.stop("kafka") is False
    assert start_time(os.getpid()) is not None


def test_a_record_of_a_process_that_is_gone_is_stale(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    record = processes.start("short", ["true"], port=1)
    assert wait_for_end(record, 10)
    assert processes.running("short") is None
    assert not (processes.run / "short.json").exists()


def test_a_process_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    script = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); sys.stdin.read(); signal.pause()"
    record = processes.start("stubborn", ["python3", "-c", script], port=1)
    assert processes.stop("stubborn", patience_seconds=0.2)
    assert not is_alive(record)


def test_a_process_that_was_started_but_not_recorded_is_adopted_and_ended(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    script = (
        "from deploy.local.processes import *; import os, sys; Processes._keep = lambda *_: os.kill(os.getpid(), 9)"
    )
    start = f"{script}; Processes(Path(sys.argv[1])).start('orphan', ['sleep', '600'], port=7)"
    killed = subprocess.run([sys.executable, "-c", start, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert processes.recorded("orphan") is None
    assert processes.names() == ["orphan"]
    record = processes.running("orphan")
    assert record is not None
    assert record.port == 7
    assert processes.stop("orphan")
    assert not is_alive(record)
    assert list(processes.run.iterdir()) == []


def test_down_names_every_service_it_stopped_and_those_that_had_ended_before(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    for name in services.declared():
        processes.start(name, ["sleep", "600"], port=1)
    ended = processes.start("valkey", ["true"], port=1)
    assert wait_for_end(ended, 10)
    command = [sys.executable, "-m", "deploy.local", "--dir", str(tmp_path), "down"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == [f"stopped: {', '.join(services.declared())}", "had ended before: valkey"]


def test_an_intent_without_a_process_stands_for_nothing(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    (processes.run / "kafka.intent").write_text(json.dumps(asdict(Record("kafka", 0, "", 1))))
    assert processes.names() == []
    assert processes.stop("kafka") is False


def test_another_stack_s_process_of_the_same_name_is_left_alone(tmp_path: Path) -> None:
    ours, theirs = Processes(tmp_path / "a"), Processes(tmp_path / "b")
    record = theirs.start("same", ["sleep", "600"], port=1)
    try:
        (ours.run / "same.intent").write_text(json.dumps(asdict(record)))
        assert ours.running("same") is None
        assert is_alive(record)
    finally:
        theirs.stop("same")


@pytest.mark.parametrize("name", ["postgres", "kafka", "valkey"])
async def test_a_server_whose_record_was_never_written_is_taken_over(stack: Stack, name: str) -> None:
    before = stack.processes.running(name)
    assert before is not None
    (stack.processes.run / f"{name}.json").rename(stack.processes.run / f"{name}.intent")
    await stack.start((name,), _say_nothing)
    assert stack.processes.running(name) == before


async def test_data_folders_whose_making_was_killed_are_made_anew(tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from deploy.local.stack import Stack
Path.rename = lambda self, to: os.kill(os.getpid(), 9) if self.name == "data-part" else os.rename(self, to)
stack = Stack(Path(sys.argv[1]), environment={})
stack.postgres.start() if sys.argv[2] == "postgres" else stack.kafka.start(print)
"""
    stack = Stack(tmp_path, environment={}, heap_mb=256)
    for name in ("postgres", "kafka"):
        killed = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path), name], check=False, stdout=subprocess.DEVNULL
        )
        assert killed.returncode == -signal.SIGKILL
    home = _postgres_home(tmp_path)
    (home / "data-part" / "global" / "pg_control").unlink()
    (home / "password-part").write_text("left")
    assert not (home / "data").exists()
    assert not (tmp_path / "kafka" / "data").exists()
    try:
        await stack.start(("postgres", "kafka"), _say_nothing)
        connection = await asyncpg.connect(stack.postgres.dsn())
        assert await connection.fetchval("SHOW max_connections") == "300"
        await connection.close()
        left = [path.name for folder in (home, tmp_path / "kafka") for path in folder.glob("*-part*")]
        assert left == []
    finally:
        stack.delete()


def _postgres_home(folder: Path) -> Path:
    return Path((folder / "postgres" / "home").read_text().strip()) if os.geteuid() == 0 else folder / "postgres"


async def test_a_start_that_fails_shows_the_end_of_the_log(tmp_path: Path) -> None:
    stack = Stack(tmp_path, environment={})
    stack.postgres.start()
    await stack.postgres.ready()
    stack.postgres.stop()
    with (_postgres_home(tmp_path) / "data" / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    try:
        stack.postgres.start()
        with pytest.raises(StartFailed, match="no_such_setting"):
            await stack.postgres.ready()
    finally:
        stack.delete()


def test_a_port_is_kept_until_somebody_else_listens_there(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    first = Ports(path).get("kafka")
    assert Ports(path).get("kafka") == first
    with socket.socket() as other:
        other.bind(("127.0.0.1", first))
        other.listen()
        assert Ports(path).get("kafka") != first


def test_secrets_of_the_stack_are_its_owners_alone(stack: Stack) -> None:
    assert (stack.folder / "passwords.json").stat().st_mode & 0o077 == 0
    assert stack.processes.logs.stat().st_mode & 0o077 == 0


def test_a_jar_with_other_bytes_than_listed_is_refused(tmp_path: Path) -> None:
    class OneFile:
        def resolve(self) -> Path:
            path = tmp_path / "evil.jar"
            path.write_bytes(b"something else")
            return path

    with pytest.raises(kafka_jars.JarMismatch, match="a:b:1"):
        kafka_jars.verified(OneFile(), "0" * 64, "a:b:1")
    assert not (tmp_path / "evil.jar").exists()
