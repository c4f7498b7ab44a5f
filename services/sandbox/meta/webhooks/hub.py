"""Who hears of what happens: from a write to the subscribers' deliveries."""

from collections.abc import Mapping
from typing import Any

from services.sandbox.exchange import Surroundings
from services.sandbox.meta.alarm import Alarm
from services.sandbox.meta.tokens import App, Tokens
from services.sandbox.meta.webhooks import stories
from services.sandbox.meta.webhooks.book import Book, Installation, Subscription
from services.sandbox.meta.webhooks.events import Event, events_of
from services.sandbox.meta.webhooks.sending import Change, Sender
from services.sandbox.meta.world import Node, World

_SHOWN_AS = {"effective_status": "field_changed"}
"""Subscribed to under one name, told under another (O, ads-webhooks/effective-status)."""


class Webhooks:
    """The subscriptions of one world, and what they are told."""

    def __init__(self, around: Surroundings, world: World, tokens: Tokens) -> None:
        self.book = Book()
        self._clock = around.clock
        self._world = world
        self._tokens = tokens
        self._sender = Sender(around.clock, around.deliveries)
        # What happens by itself is told at its moment, not when somebody calls next.
        self._alarm = Alarm(around.clock, world.agenda)
        world.on_write(self._on_write)

    def tell(
        self,
        name: str,
        account: Node,
        field: str,
        value: Mapping[str, Any],
        *,
        wait_seconds: float = 0,
        only: App | None = None,
    ) -> None:
        """Send a change to every app that subscribed to the object's field, on this account. `only`: to no other."""
        change = Change(account.id.removeprefix("act_"), _SHOWN_AS.get(field, field), value)
        for subscription in self.book.of_object(name):
            if field not in subscription.fields or only not in {None, subscription.app}:
                continue
            installation = self._installation(subscription, account)
            if installation is None or (installation.fields is not None and field not in installation.fields):
                continue
            self._sender.send(subscription, change, url=installation.callback_url, wait_seconds=wait_seconds)

    def _installation(self, subscription: Subscription, account: Node) -> Installation | None:
        """The app's hold on the account: each product has its own way (O)."""
        app = subscription.app
        found = self.book.installed(account.id, app)
        if found is not None:
            return found
        if account.kind == "instagram":
            # With Facebook Login the page that the profile is linked to is what is subscribed, with any field (O).
            pages = (page for page in self.book.accounts_of(app) if self._links(page, account))
            return next((Installation(app) for _ in pages), None)
        if account.kind == "user":
            return Installation(app)
        if account.kind == "threads":
            # Whoever has granted the app their profile; there is no edge for it (O).
            return Installation(app) if self._is_granted(app, account) else None
        return None

    def _links(self, page_id: str, account: Node) -> bool:
        page = self._world.nodes.get(page_id)
        return page is not None and page.values.get("instagram_business_account") == account.id

    def _is_granted(self, app: App, account: Node) -> bool:
        now = self._clock.now()
        owner = ("threads", account.id)
        return any(
            token.app is app and token.owner == owner and token.state(now) == "valid" for token in self._tokens.all()
        )

    def _on_write(self, kind_of_write: str, node: Node) -> None:
        if kind_of_write == "create" and stories.is_story(node):
            self._world.agenda.at(node.created_at + stories.LIFE, lambda _: self._tell_story(node.id))
        if not self.book.subscriptions:
            return
        now = self._clock.now()
        before = None if kind_of_write == "create" else self._world.before_last_write(node.id)
        for event in events_of(self._world, kind_of_write, node, before, now):
            self._tell_event(event)

    def _tell_story(self, media_id: str) -> None:
        story = self._world.nodes.get(media_id)
        apps = [found.app for found in self.book.of_object("instagram") if stories.may_hear(found.app)]
        if story is None or not apps:
            return
        value = stories.story_insights(self._world, story)
        for app in apps:
            self.tell("instagram", self._world.nodes[story.account], stories.FIELD, value, only=app)

    def _tell_event(self, event: Event) -> None:
        self.tell(event.object, event.account, event.field, event.value)
