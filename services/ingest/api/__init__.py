"""Ways in by HTTP: requests, the identities that may ask, and what platforms told."""

from collections.abc import Sequence

from fastapi import APIRouter

from services.ingest.api.deps import ApiDeps
from services.ingest.api.identities import identities_router
from services.ingest.api.requests import requests_router
from services.ingest.api.webhooks import webhooks_router

__all__ = ["ApiDeps", "build_routers"]


def build_routers(deps: ApiDeps) -> Sequence[APIRouter]:
    """Build ingest's own routes; the frame adds probes and operators' routes."""
    return (requests_router(deps), webhooks_router(deps), identities_router(deps))
