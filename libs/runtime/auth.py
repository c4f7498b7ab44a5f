"""Who asks over HTTP: the API key becomes a principal, and the principal an organization.

A router declares what it needs: `caller: CallerDep` for a principal that acts for one organization,
`principal: PrincipalDep` where no organization is meant, `Depends(role_required(Role.ADMIN))` where a role is.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, cast
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from libs.events.problem import ProblemError, ProblemItem, problem
from libs.postgres.pool import Database
from libs.security.api_keys import hash_key
from libs.security.identities import Principal, authenticate, find_organization, require
from libs.vocabulary import OrgId, Role

ORGANIZATION_HEADER = "X-Organization-Id"
MAX_KEY_CHARS = 256
MAX_CACHED = 4_096
CACHE_SECONDS = 1.0
"""How long a revoked key may still be served by this process, over the delay of its event."""
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="platformbus"'}

_bearer = HTTPBearer(auto_error=False, description="An API key: `pbk_...`")
_organization = APIKeyHeader(
    name=ORGANIZATION_HEADER,
    auto_error=False,
    scheme_name="Organization",
    description="Which organization a platform operator's key acts for; keys of an organization need none.",
)


@dataclass(frozen=True, slots=True)
class Caller:
    """A principal that acts for one organization."""

    principal: Principal
    org_id: OrgId


class Authenticator:
    """Looks keys up as worker, before the organization is known; remembers good ones for a second, by their hash."""

    def __init__(
        self,
        database: Database,
        *,
        cache_seconds: float = CACHE_SECONDS,
        max_cached: int = MAX_CACHED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._seconds = cache_seconds
        self._max = max_cached
        self._clock = clock
        self._seen: OrderedDict[str, tuple[float, Principal]] = OrderedDict()

    async def principal_of(self, key_text: str) -> Principal:
        """Give whose key this is. Raises ProblemError 401 for an unknown, expired or revoked key."""
        key_hash = hash_key(key_text)
        entry = self._seen.get(key_hash)
        if entry is not None and self._clock() < entry[0]:
            return entry[1]
        async with self._database.acquire() as connection:
            principal = await authenticate(connection, key_text)
        self._seen[key_hash] = (self._clock() + self._seconds, principal)
        self._seen.move_to_end(key_hash)
        while len(self._seen) > self._max:
            self._seen.popitem(last=False)
        return principal

    async def organization_exists(self, org_id: UUID) -> bool:
        """Tell whether an active organization has this id."""
        async with self._database.acquire() as connection:
            organization = await find_organization(connection, org_id)
        return organization is not None and organization.active

    def forget(self, key_hash: str | None = None) -> None:
        """Look this key up again at its next use, or every key: called after a key was revoked in this process."""
        if key_hash is None:
            self._seen.clear()
        else:
            self._seen.pop(key_hash, None)


async def principal(request: Request, _scheme: Annotated[object, Security(_bearer)] = None) -> Principal:
    """Dependency: who asks. Raises ProblemError 401 with `WWW-Authenticate`."""
    authenticator = cast(Authenticator, request.app.state.authenticator)
    scheme, _, key_text = request.headers.get("authorization", "").partition(" ")
    key_text = key_text.strip()
    if not scheme:
        raise _unauthenticated("This address needs an API key.", "send `Authorization: Bearer <key>`")
    if scheme.lower() != "bearer" or not key_text or len(key_text) > MAX_KEY_CHARS:
        raise _unauthenticated("The Authorization header is not of the form `Bearer <key>`.", "send a key of this form")
    found = await authenticator.principal_of(key_text)
    request.state.principal = found
    return found


PrincipalDep = Annotated[Principal, Depends(principal)]


async def organization_caller(
    request: Request, who: PrincipalDep, _chosen: Annotated[object, Security(_organization)] = None
) -> Caller:
    """Dependency: who asks, for which organization.

    A key of an organization acts for that one; a platform key names one by `X-Organization-Id`.
    Raises ProblemError: 400 no or a malformed choice, 403 another organization's, 404 unknown or inactive.
    """
    chosen = _chosen_organization(request)
    if who.org_id is not None:
        if chosen is not None and chosen != who.org_id:
            raise ProblemError(
                problem(
                    "organization_not_allowed",
                    403,
                    "Not this key's organization",
                    "The key acts for one organization only, and another one is named.",
                    _header_item("names another organization", "leave the header out, or use that organization's key"),
                )
            )
        return Caller(who, OrgId(who.org_id))
    if chosen is None:
        raise ProblemError(
            problem(
                "organization_required",
                400,
                "Organization missing",
                "A platform key acts for no organization of its own.",
                _header_item("is missing", "name the organization's id in this header"),
            )
        )
    authenticator = cast(Authenticator, request.app.state.authenticator)
    if not await authenticator.organization_exists(chosen):
        raise ProblemError(
            problem(
                "organization_unknown",
                404,
                "Organization unknown",
                f"No active organization has the id {chosen}.",
                _header_item("names no active organization", "use an id that `GET /v1/organizations` of ingest lists"),
            )
        )
    return Caller(who, OrgId(chosen))


CallerDep = Annotated[Caller, Depends(organization_caller)]


def role_required(*roles: Role) -> Callable[[Principal], Principal]:
    """Give a dependency that lets only these roles pass. Raises ProblemError 401 or 403."""

    def check(who: PrincipalDep) -> Principal:
        require(who, *roles)
        return who

    return check


def _chosen_organization(request: Request) -> UUID | None:
    text = request.headers.get(ORGANIZATION_HEADER)
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise ProblemError(
            problem(
                "organization_malformed",
                400,
                "Organization id malformed",
                "The organization's id is not a UUID.",
                _header_item("is not a UUID", "send the id as it was given, e.g. 018f5b0e-...-..."),
            )
        ) from None


def _header_item(what: str, how: str) -> ProblemItem:
    return ProblemItem(where=f"header:{ORGANIZATION_HEADER}", what=what, how=how)


def _unauthenticated(detail: str, how: str) -> ProblemError:
    item = ProblemItem(where="header:Authorization", what=detail, how=how)
    return ProblemError(problem("unauthenticated", 401, "Not authenticated", detail, item), headers=dict(CHALLENGE))
