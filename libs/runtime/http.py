"""The HTTP edge of every service: one way to build the application, with its limits, problem documents and probes."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse, Response
from fastapi.telemetry import TelemetryConfig

from libs.runtime.auth import Authenticator
from libs.runtime.body import BodyMiddleware
from libs.runtime.documents import with_problems
from libs.runtime.health import Health
from libs.runtime.observe import ObserveMiddleware
from libs.runtime.problems import ErrorMiddleware, add_problem_handlers
from libs.telemetry.metrics import render_metrics

DEFAULT_MAX_BODY_BYTES = 1_048_576
# FastAPI's own would trace each request a second time and export the words of errors without redaction.
_NO_TELEMETRY = TelemetryConfig(tracing=False, metrics=False, logs=False, operation_spans=False, auto_configure=False)
_NOT_CACHED = {"Cache-Control": "no-store"}


def create_app(
    service: str,
    *,
    routers: Sequence[APIRouter],
    health: Health,
    authenticator: Authenticator | None = None,
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES,
    description: str = "",
) -> FastAPI:
    """Build a service's application from its routers: no lifespan, no I/O, so a document can be made of it anywhere.

    `authenticator` is what `PrincipalDep` and `CallerDep` ask; without one only routes that need no key work.
    Every refusal is a problem document (RFC 9457); bodies are JSON and at most `max_body_bytes` long.
    """
    app = _Application(
        title=f"platformbus {service}",
        version="1",
        description=description,
        openapi_url="/openapi.json",
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        telemetry=_NO_TELEMETRY,
        redirect_slashes=False,
        separate_input_output_schemas=False,
    )
    app.state.authenticator = authenticator
    app.state.service = service
    add_problem_handlers(app)
    app.include_router(probes(health))
    for router in routers:
        app.include_router(router)
    # Added last is outermost: observe, then turn errors into problems, then read the body.
    app.add_middleware(BodyMiddleware, max_body_bytes=max_body_bytes)
    app.add_middleware(ErrorMiddleware)
    app.add_middleware(ObserveMiddleware, service=service)
    return app


class _Application(FastAPI):
    """Its document says what our refusals look like."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = with_problems(super().openapi())
        return self.openapi_schema


def probes(health: Health) -> APIRouter:
    """Give `/live`, `/ready` and `/metrics`; they need no key and are not part of the documented interface."""
    router = APIRouter(include_in_schema=False)

    @router.get("/live")
    async def live() -> Response:
        return _verdict(await health.live())

    @router.get("/ready")
    async def ready() -> Response:
        return _verdict(await health.ready())

    @router.get("/metrics")
    async def metrics() -> Response:
        body, content_type = render_metrics()
        return Response(body, headers={"Content-Type": content_type} | _NOT_CACHED)

    return router


def _verdict(failed: dict[str, str]) -> JSONResponse:
    body = {"status": "failing", "failed": failed} if failed else {"status": "ok"}
    return JSONResponse(body, status_code=503 if failed else 200, headers=_NOT_CACHED)
