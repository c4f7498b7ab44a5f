"""The apps and tokens that a world begins with: every kind and every state, by names that are safe to print."""

import string
from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta

from services.sandbox.clock import Clock
from services.sandbox.meta.assets import Cast
from services.sandbox.meta.tokens import FACEBOOK, INSTAGRAM, THREADS, App, Token, Tokens
from services.sandbox.meta.world import Moment, Node, World

LONG = timedelta(days=60)  # O
SHORT = timedelta(hours=1)  # T for Threads; "about one to two hours" for Facebook, one for Instagram (M)
_DAY = timedelta(days=1)
ALL_SCOPES = (
    "public_profile", "email", "business_management", "ads_read", "ads_management", "pages_show_list",
    "pages_read_engagement", "pages_read_user_content", "pages_manage_posts", "pages_manage_engagement",
    "pages_manage_metadata", "pages_manage_ads", "read_insights", "leads_retrieval", "catalog_management",
    "instagram_basic", "instagram_content_publish", "instagram_manage_comments", "instagram_manage_insights",
    "whatsapp_business_management", "whatsapp_business_messaging",
)  # fmt: skip
"""Names O (permissions reference)."""
PAGE_TOKEN_SCOPES = tuple(
    scope for scope in ALL_SCOPES if scope.startswith(("pages_", "instagram_", "read_insights", "leads_"))
)
INSTAGRAM_SCOPES = (
    "instagram_business_basic", "instagram_business_content_publish", "instagram_business_manage_comments",
    "instagram_business_manage_insights",
)  # fmt: skip
THREADS_SCOPES = (
    "threads_basic", "threads_content_publish", "threads_delete", "threads_manage_insights", "threads_manage_mentions",
    "threads_manage_replies", "threads_read_replies",
)  # fmt: skip
SCOPES_OF: Mapping[str, tuple[str, ...]] = {
    FACEBOOK: ALL_SCOPES, INSTAGRAM: INSTAGRAM_SCOPES, THREADS: THREADS_SCOPES,
}  # fmt: skip
"""What an app of each family may ask for."""


def make_tokens(world: World, cast: Cast, clock: Clock) -> Tokens:
    """Everything that can be told from the seed; tokens that tests ask for come later."""
    tokens = Tokens(world.random, clock)
    first = _Tokens(world, cast, tokens, clock)
    first.make_apps()
    first.make_people()
    first.make_robots()
    first.make_pages()
    for app in tokens.apps.values():
        part = next(name for name, known in tokens.apps.items() if known is app)
        owner = ("app", app.id)
        issued = clock.now() - 400 * _DAY
        tokens.add(Token(f"app_{part}", "app", app, app.token, owner, (), issued, None, frozenset({app.id})))
    first.make_profiles("instagram", tokens.apps["instagram"], INSTAGRAM_SCOPES)
    first.make_profiles("threads", tokens.apps["threads"], THREADS_SCOPES)
    return tokens


class _Tokens:
    """Tokens while they are being made."""

    def __init__(self, world: World, cast: Cast, tokens: Tokens, clock: Clock) -> None:
        self._world = world
        self._cast = cast
        self._tokens = tokens
        self._now = clock.now()
        self._first = self._assets("first")
        self._second = self._assets("second")

    def make_apps(self) -> None:
        """Threads and Instagram Login have ids and secrets of their own (O)."""
        for part, tier, users, proof, family in (
            ("main", "standard_access", 5_000, False, FACEBOOK),
            ("limited", "development_access", 20, False, FACEBOOK),
            ("strict", "standard_access", 1_000, True, FACEBOOK),
            ("instagram", "standard_access", 5_000, False, INSTAGRAM),
            ("threads", "standard_access", 5_000, False, THREADS),
        ):
            secret = "".join(self._world.random.choices(string.hexdigits[:16], k=32))
            app_id = str(self._world.random.randint(10**14, 10**15 - 1))
            app = App(app_id, f"Platformbus {part}", secret, tier, users, proof, family)
            self._tokens.apps[part] = app
            self._world.add(self._app_node(app))

    def make_people(self) -> None:
        users, apps, now = self._cast.users, self._tokens.apps, self._now
        person, other, newcomer = users["first"], users["second"], users["newcomer"]
        main = apps["main"]
        for user, assets in ((person, self._first), (other, self._second), (newcomer, ())):
            self._tokens.assets[user.id] = frozenset(node.id for node in assets)
        self._add("user_main", "user", main, person, self._first, ALL_SCOPES, 5)
        self._add("user_second", "user", main, other, self._second, ALL_SCOPES, 9)
        self._add("user_limited", "user", apps["limited"], person, self._first, ALL_SCOPES, 2)
        self._add("user_strict", "user", apps["strict"], person, self._first, ALL_SCOPES, 2)
        pages_only = tuple(node for node in self._first if node.kind == "page")
        self._add("user_narrow", "user", main, person, pages_only, ("public_profile", "pages_show_list"), 1)
        self._add("user_newcomer", "user", main, newcomer, (), ALL_SCOPES, 1)
        self._add("user_expired", "user", main, person, self._first, ALL_SCOPES, 63)
        self._add("user_revoked", "user", main, person, self._first, ALL_SCOPES, 20).revoked_subcode = 460
        short = self._add("user_short", "user", main, person, self._first, ALL_SCOPES, 0)
        short.expires_at, short.long_lived = now + SHORT, False

    def make_robots(self) -> None:
        users, apps = self._cast.users, self._tokens.apps
        robot, agency, both = users["system"], users["agency"], (*self._first, *self._second)
        for user, assets in ((robot, self._first), (agency, both)):
            self._tokens.assets[user.id] = frozenset(node.id for node in assets)
        for part, app, user, assets, age, revoked in (
            ("main", "main", robot, self._first, 200, None),
            ("agency", "main", agency, both, 200, None),
            ("limited", "limited", robot, self._first, 200, None),
            ("strict", "strict", robot, self._first, 200, None),
            ("revoked", "main", robot, self._first, 90, 458),
        ):
            made = self._add(f"system_{part}", "system_user", apps[app], user, assets, ALL_SCOPES, age, None)
            made.revoked_subcode = revoked

    def make_pages(self) -> None:
        main, users = self._tokens.apps["main"], self._cast.users
        for part in ("busy", "quiet", "empty", "second"):
            page = self._cast.pages[part]
            granter = users["second" if part == "second" else "first"]
            sees = (page, self._cast.instagram[part])
            made = self._add(f"page_{part}", "page", main, page, sees, PAGE_TOKEN_SCOPES, 5, None)
            made.granter = granter.id
        busy = self._cast.pages["busy"]
        lost = self._add("page_revoked", "page", main, busy, (busy,), PAGE_TOKEN_SCOPES, 90, None)
        lost.revoked_subcode, lost.granter = 492, users["first"].id

    def make_profiles(self, group: str, app: App, scopes: tuple[str, ...]) -> None:
        """Tokens of profiles that log in themselves: long, too young to be refreshed, short, expired."""
        profiles: Mapping[str, Node] = getattr(self._cast, group, {})
        for part, node in profiles.items():
            self._tokens.assets[node.id] = frozenset({node.id})
            if part != "hidden":
                self._add(f"{group}_{part}", "user", app, node, (node,), scopes, 5)
        if "busy" in profiles:
            busy = profiles["busy"]
            self._add(f"{group}_fresh", "user", app, busy, (busy,), scopes, 0).issued_at -= timedelta(hours=2)
            self._add(f"{group}_expired", "user", app, busy, (busy,), scopes, 63)
            short = self._add(f"{group}_short", "user", app, busy, (busy,), scopes, 0)
            short.expires_at, short.long_lived = self._now + SHORT, False

    def _add(
        self,
        token_id: str,
        kind: str,
        app: App,
        owner: Node,
        sees: tuple[Node, ...],
        scopes: tuple[str, ...],
        age_days: int,
        life: timedelta | None = LONG,
    ) -> Token:
        issued = self._now - age_days * _DAY
        seen = frozenset({owner.id, app.id, *(node.id for node in sees)})
        expires = issued + life if life else None
        return self._tokens.add(Token(token_id, kind, app, "", (owner.kind, owner.id), scopes, issued, expires, seen))

    def _assets(self, business: str) -> tuple[Node, ...]:
        """Accounts of all types; Threads profiles are for their own tokens only (O)."""
        owner = ("business", self._cast.businesses[business].id)
        parts = [part for part, page in self._cast.pages.items() if page.parent == owner]
        names = (part.name for part in fields(self._cast) if part.name not in {"users", "businesses", "threads"})
        groups = [getattr(self._cast, name) for name in names]
        return (
            self._cast.businesses[business],
            *(group[part] for group in groups if isinstance(group, dict) for part in parts if part in group),
        )

    def _app_node(self, app: App) -> Node:
        created = self._now - 500 * _DAY
        values = {
            "id": app.id,
            "name": app.name,
            "category": "Business",
            "link": "https://platformbus.example/",
            "description": "",
            "namespace": f"platformbus_{app.id[-4:]}",
            "company": "Platformbus",
            "daily_active_users": str(app.daily_users),
            "created_time": Moment.fromtimestamp(created.timestamp(), created.tzinfo),
        }
        return Node(app.id, "application", app.id, values, created, created)
