"""Who wants to hear of what: the app as a whole, then each account (O: both layers are needed)."""

from dataclasses import dataclass, field

from services.sandbox.meta.tokens import App


@dataclass(slots=True)
class Subscription:
    """An app's wish for one object: where to, and which fields."""

    app: App
    object: str
    callback_url: str
    verify_token: str
    fields: dict[str, str]
    """Name -> version of the API that it was subscribed with."""
    include_values: bool
    id: str


@dataclass(slots=True)
class Installation:
    """An app on one account. `fields` None: every field that the app as a whole wants."""

    app: App
    fields: tuple[str, ...] | None = None
    callback_url: str | None = None
    """Instead of the app's own (O: WhatsApp)."""


@dataclass(slots=True)
class Book:
    """Everything that was subscribed in one world; empty at its start."""

    subscriptions: dict[tuple[str, str], Subscription] = field(default_factory=dict)
    """By app and object."""
    installations: dict[tuple[str, str], Installation] = field(default_factory=dict)
    """By account and app."""

    def of_app(self, app: App) -> list[Subscription]:
        return [found for (app_id, _), found in self.subscriptions.items() if app_id == app.id]

    def of_object(self, name: str) -> list[Subscription]:
        return [found for (_, wanted), found in self.subscriptions.items() if wanted == name]

    def on_account(self, account_id: str) -> list[Installation]:
        return [found for (owner, _), found in self.installations.items() if owner == account_id]

    def installed(self, account_id: str, app: App) -> Installation | None:
        return self.installations.get((account_id, app.id))

    def accounts_of(self, app: App) -> list[str]:
        return [owner for owner, app_id in self.installations if app_id == app.id]
