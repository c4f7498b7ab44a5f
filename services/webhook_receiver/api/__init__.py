"""Ways in by HTTP: what platforms push, and the operators' routes for apps and deliveries."""

from collections.abc import Sequence

from fastapi import APIRouter

from services.webhook_receiver.api.apps import apps_router
from services.webhook_receiver.api.deps import ApiDeps
from services.webhook_receiver.api.webhooks import webhooks_router

__all__ = ["ApiDeps", "build_routers"]


def build_routers(deps: ApiDeps) -> Sequence[APIRouter]:
    """Build the operators' routes; the edge, which platforms push to, lies in front of them."""
    return (apps_router(deps), webhooks_router(deps))
