"""References from one item of a batch to the result of another: `{result=<name>:<JSONPath>}` (O, batch-requests).

Of JSONPath the forms in Meta's examples are understood: `$`, `.key`, `.*`, `[n]`, `[*]`. Several values are joined by
commas, as in the documented `?ids={result=create-ad:$.data.*.id}` (O).
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from services.sandbox.meta.errors import bad_parameter

_REFERENCE = re.compile(r"\{result=([^:{}]{1,200}):([^{}]{1,500})\}")
_ENCODED = re.compile(r"%7Bresult(?:%3D|=).{1,900}?%7D", re.IGNORECASE)
_STEP = re.compile(r"\.([A-Za-z0-9_\-]+)|\.(\*)|\[(\d{1,6}|\*)\]")


def referred_names(text: str) -> list[str]:
    """Names of the items whose results a text uses, in order."""
    return [match.group(1) for match in _REFERENCE.finditer(_decoded(text))]


def substitute(text: str, results: Mapping[str, Any]) -> str:
    """Put results in place of references, encoded for the query or form that they stand in.

    Raises: GraphError 100 for a path that cannot be read; KeyError never.
    """
    return _REFERENCE.sub(lambda match: _value(match.group(1), match.group(2), results), _decoded(text))


def _decoded(text: str) -> str:
    """SDKs that encode the whole value encode the braces too."""
    return _ENCODED.sub(lambda match: unquote(match.group()), text)


def _value(name: str, path: str, results: Mapping[str, Any]) -> str:
    if name not in results:
        raise bad_parameter(f"No result of a request named '{name}' in this batch")
    return quote(",".join(_text(value) for value in find_values(results[name], path)), safe=",:|_@/")


def find_values(document: Any, path: str) -> list[Any]:
    """Raises: GraphError 100 when the path is not understood."""
    if not path.startswith("$"):
        raise bad_parameter(f"Invalid JSONPath '{path}'")
    found, position = [document], 1
    while position < len(path):
        match = _STEP.match(path, position)
        if not match:
            raise bad_parameter(f"Invalid JSONPath '{path}'")
        key, every, index = match.groups()
        found = [value for parent in found for value in _children(parent, key, every or index)]
        position = match.end()
    return found


def _children(parent: Any, key: str | None, index: str | None) -> list[Any]:
    if key is not None:
        return [parent[key]] if isinstance(parent, dict) and key in parent else []
    if index == "*":
        if isinstance(parent, dict):
            return list(parent.values())
        return list(parent) if isinstance(parent, list) else []
    position = int(index or 0)
    return [parent[position]] if isinstance(parent, list) and position < len(parent) else []


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)
