"""`.local/env`: every variable that the services and the command need to find each other, written on each start."""

import json
import os
import secrets
import shlex
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

from deploy.local.database import dsn_of
from deploy.local.stack import Stack, write_private

SERVICES = ("ingest", "asset_sync", "batcher", "webhook_receiver")
"""The services that have roles, in the order of deploy/postgres/roles.sql."""

ROLES = ("owner", "worker", "api")


def role_passwords(stack: Stack) -> dict[str, str]:
    """A kept random password for each role of each service."""
    names = [f"{service}_{role}" for service in SERVICES for role in ROLES]
    return {name: stack.passwords.of(name) for name in names}


def kek_file(stack: Stack) -> Path:
    """The file of key-encryption keys, made the first time. Deleting it makes every sealed secret unreadable."""
    path = stack.folder / "kek.json"
    if not path.exists():
        key = b64encode(secrets.token_bytes(32)).decode()
        write_private(path, json.dumps({"active": "local-1", "keys": {"local-1": key}}))
    return path


def variables(stack: Stack, *, app_secrets: Mapping[str, str], key: str | None) -> dict[str, str]:
    """Every variable; one that the caller's environment sets keeps the caller's value.

    app_secrets: the platform apps that the sandbox made up. key: an API key for the command, if one was made.
    """
    addresses = stack.addresses()
    sandbox = f"http://127.0.0.1:{stack.ports.get_known('sandbox')}"
    made = {
        "KAFKA_BOOTSTRAP_SERVERS": addresses.kafka_bootstrap,
        "KAFKA_REPLICATION_FACTOR": "1",
        "VALKEY_URL": addresses.valkey_url,
        "POSTGRES_ADMIN_DSN": addresses.postgres_admin_dsn,
        "SECRETS_KEK_FILE": str(kek_file(stack)),
        "SANDBOX_URL": sandbox,
        "META_GRAPH_URL": f"{sandbox}/graph.facebook.com",
        "META_INSTAGRAM_URL": f"{sandbox}/graph.instagram.com",
        "META_INSTAGRAM_LOGIN_URL": f"{sandbox}/api.instagram.com",
        "META_THREADS_URL": f"{sandbox}/graph.threads.net",
        "META_APP_SECRETS": json.dumps(dict(app_secrets)),
    }
    passwords = role_passwords(stack)
    spans = stack.folder / "spans"
    spans.mkdir(exist_ok=True)
    for service in SERVICES:
        prefix = service.upper()
        for role in ROLES:
            name = f"{service}_{role}"
            made[f"{prefix}_{role.upper()}_DSN"] = dsn_of(addresses.postgres_admin_dsn, name, passwords[name])
        port = stack.ports.get_known(service)
        made |= {
            f"{prefix}_HOST": "127.0.0.1",
            f"{prefix}_PORT": str(port),
            f"{prefix}_LOG_LEVEL": "INFO",
            f"{prefix}_SPANS_FILE": str(spans / f"{service}.jsonl"),
            f"{prefix}_URL": f"http://127.0.0.1:{port}",
        }
    if key:
        made["PLATFORMBUS_KEY"] = key
    return {name: os.environ.get(name) or value for name, value in made.items()}


def write(stack: Stack, values: Mapping[str, str]) -> Path:
    """Write `env` of the stack's folder: a shell and a dotenv reader understand it alike."""
    path = stack.folder / "env"
    write_private(path, "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items()))
    return path


def read(folder: Path) -> dict[str, str]:
    """What the last start wrote; empty if there was none."""
    path = folder / "env"
    if not path.exists():
        return {}
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
    return {name: "".join(shlex.split(value)) for name, value in pairs}
