"""Fields whose value depends on who asks, or follows from others."""

from collections.abc import Callable, Mapping
from typing import Any

from services.sandbox.meta.node import Node
from services.sandbox.meta.tokens import Token, Tokens

Compute = Callable[[Tokens, Token, Node], Any]


def _page_token(tokens: Tokens, token: Token, page: Node) -> str | None:
    """Whoever manages the page gets its token (O)."""
    given = tokens.page_token(token, page)
    return given.secret if given else None


def _email(tokens: Tokens, token: Token, person: Node) -> str | None:
    """A person's own, with the permission of that name (O, permissions reference); system users have none."""
    if token.kind != "user" or token.owner[1] != person.id or "email" not in token.scopes:
        return None
    return f"{str(person.values['name']).lower().replace(' ', '.')}@people.example"


COMPUTED: Mapping[tuple[str, str], Compute] = {
    ("page", "access_token"): _page_token,
    ("user", "email"): _email,
    # The account's own id; `id` would be the app-scoped one (O, instagram-api-with-instagram-login), the same here.
    ("instagram", "user_id"): lambda tokens, token, node: node.id,
    ("instagram", "account_type"): lambda tokens, token, node: "BUSINESS",
}
