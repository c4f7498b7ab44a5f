"""A database per test, cloned from a template that is migrated once per session."""

import hashlib
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg

from deploy.local.database import apply_roles, dsn_of
from libs.postgres.migrations import migrate_up
from libs.postgres.schemas import SCHEMAS, DatabaseRole, role_name

_ROLES: tuple[DatabaseRole, ...] = ("owner", "worker", "api")


@dataclass(frozen=True, slots=True)
class TestDatabase:
    """A database of one test's own."""

    __test__ = False

    name: str
    admin_dsn: str
    passwords: dict[str, str]

    def dsn(self, service: str, role: DatabaseRole) -> str:
        """The address for one role of one service, e.g. ("ingest", "worker")."""
        name = role_name(service, role)
        return dsn_of(self.admin_dsn, name, self.passwords[name], self.name)


@dataclass(frozen=True, slots=True)
class ServiceDatabase:
    """The same, seen by one service."""

    service: str
    database: TestDatabase

    @property
    def admin_dsn(self) -> str:
        return dsn_to(self.database.admin_dsn, self.database.name)

    @property
    def owner_dsn(self) -> str:
        return self.database.dsn(self.service, "owner")

    @property
    def worker_dsn(self) -> str:
        return self.database.dsn(self.service, "worker")

    @property
    def api_dsn(self) -> str:
        return self.database.dsn(self.service, "api")


class Databases:
    """Makes databases on one server and drops them again."""

    def __init__(self, admin_dsn: str) -> None:
        self._admin_dsn = admin_dsn
        self._passwords = _role_passwords(admin_dsn)
        self._templates: dict[tuple[str, ...], str] = {}
        self._made: list[str] = []

    async def create(self, *services: str) -> TestDatabase:
        """A database in which these services are migrated; without one: roles and empty schemas."""
        template = self._templates.get(services)
        if template is None:
            template = await self._make_template(services)
            self._templates[services] = template
        name = await self._clone(template)
        return TestDatabase(name, self._admin_dsn, self._passwords)

    async def drop(self, database: TestDatabase) -> None:
        """Drop the database, ending whatever still talks to it."""
        await self._drop(database.name)

    async def close(self) -> None:
        """Drop everything that was made here, templates too."""
        for name in list(self._made):
            await self._drop(name)

    async def _make_template(self, services: Sequence[str]) -> str:
        name = await self._clone("template0")
        await apply_roles(dsn_to(self._admin_dsn, name), self._passwords)
        template = TestDatabase(name, self._admin_dsn, self._passwords)
        for service in services:
            await migrate_up(service, template.dsn(service, "owner"))
        return name

    async def _clone(self, template: str) -> str:
        name = f"test_{uuid.uuid4().hex}"
        connection = await asyncpg.connect(self._admin_dsn)
        try:
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
            self._made.append(name)
            # A database's own rights are not cloned with it.
            await connection.execute(f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC')
            if template != "template0":
                roles = ", ".join(self._passwords)
                await connection.execute(f'GRANT CONNECT ON DATABASE "{name}" TO {roles}')
        finally:
            await connection.close()
        return name

    async def _drop(self, name: str) -> None:
        if name in self._made:
            connection = await asyncpg.connect(self._admin_dsn)
            try:
                await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            finally:
                await connection.close()
            self._made.remove(name)


def dsn_to(dsn: str, database: str) -> str:
    """The same server and user, another database."""
    parts = urlsplit(dsn)
    return parts._replace(path=f"/{database}").geturl()


def _role_passwords(admin_dsn: str) -> dict[str, str]:
    """Roles belong to the server: those of a server that somebody uses keep their passwords, named by its variables.

    Otherwise a password that every test session on that server works out alike, so that two at once do not disturb
    each other.
    """
    passwords = {}
    for service in SCHEMAS:
        for role in _ROLES:
            given = os.environ.get(f"{service.upper()}_{role.upper()}_DSN")
            known = urlsplit(given).password if given else None
            made = hashlib.sha256(f"{admin_dsn}/{service}/{role}".encode()).hexdigest()
            passwords[role_name(service, role)] = known or made
    return passwords
