"""Which accounts' webhooks belong to a connection, until they are discovered from the platform itself."""

import re
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from libs.events.problem import ProblemError, ProblemItem, problem
from libs.platforms.base import Platform
from libs.postgres import Connection
from libs.security.identities import Principal
from libs.vocabulary import AccountRef, OrgId
from services.asset_sync import store
from services.asset_sync.models import Actor, ConnectionRow
from services.asset_sync.usecases.connecting import disconnected, publish, show

MAX_ACCOUNTS: Final = 500


def require_operator(who: Principal) -> None:
    """Let only keys of the bus's own operators pass. Raises ProblemError 403.

    Nothing proves that an account is the organization's: whoever could name any would receive another's leads.
    """
    if who.org_id is None:
        return
    item = ProblemItem(
        where="/accounts",
        what="can only be named with a key of the bus's own operators",
        how="leave it out, and ask an operator to name the accounts",
    )
    detail = "Webhooks of an account go to whoever names it, and nothing here proves whose it is."
    raise ProblemError(problem("accounts_not_allowed", 403, "Accounts not allowed", detail, item))


def known_accounts(platform: Platform, named: Sequence[AccountRef]) -> tuple[AccountRef, ...]:
    """Give the accounts without repeats, in the order named. Raises ProblemError 422 for what the platform has not."""
    faults = [item for number, account in enumerate(named) if (item := _fault(platform, number, account)) is not None]
    if faults:
        detail = f"{len(faults)} account{'s are' if len(faults) > 1 else ' is'} none that {platform.name} could have."
        raise ProblemError(problem("accounts_unknown", 422, "Accounts not known", detail, *faults))
    return tuple(dict.fromkeys(named))


def _fault(platform: Platform, number: int, account: AccountRef) -> ProblemItem | None:
    kind = platform.account_types.get(account.type)
    if kind is None:
        words = ", ".join(sorted(platform.account_types)) or "none"
        what = f"is no type of {platform.name}'s accounts"
        return ProblemItem(where=f"/accounts/{number}/type", what=what, how=f"use one of: {words}")
    if re.fullmatch(kind.id_pattern, account.id) is None:
        what = f"is not the id of one: {account.type}"
        return ProblemItem(where=f"/accounts/{number}/id", what=what, how=f"write it as in {kind.example}")
    return None


async def replace_accounts(
    conn: Connection, org_id: OrgId, connection_id: UUID, accounts: Sequence[AccountRef], *, actor: Actor
) -> ConnectionRow:
    """Put these accounts in the place of the connection's, as worker, and publish it; the same ones change nothing.

    Raises ProblemError: 404 unknown, 409 disconnected.
    """
    changed = await store.replace_accounts(conn, org_id, connection_id, accounts)
    if changed is None:
        row = await show(conn, org_id, connection_id)
        if row.disconnected_at is not None:
            raise disconnected(connection_id, "it has no accounts any more")
        return row
    await publish(conn, [changed])
    details = {"accounts": [str(account) for account in accounts], "version": changed.row.version}
    await store.insert_audit(conn, org_id, actor, "connection.accounts_replaced", str(connection_id), details)
    return changed.row
