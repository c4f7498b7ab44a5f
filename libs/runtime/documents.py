"""What FastAPI's OpenAPI document says wrongly for us: refusals are problem documents, on every route."""

from typing import Any

from libs.events.problem import Problem

_REF = "#/components/schemas/{model}"


def with_problems(document: dict[str, Any]) -> dict[str, Any]:
    """Give the document with one `default` response, a problem, on every operation, in place of FastAPI's own 422."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem_schema = Problem.model_json_schema(ref_template=_REF)
    schemas |= problem_schema.pop("$defs", {})
    schemas["Problem"] = problem_schema
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    for operations in document.get("paths", {}).values():
        for operation in operations.values():
            responses = operation["responses"]
            responses.pop("422", None)
            responses["default"] = {
                "description": "Refused, or failed: what, where and how to mend it (RFC 9457)",
                "content": {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}},
            }
    return document
