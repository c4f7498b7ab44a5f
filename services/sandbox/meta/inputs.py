"""Values of a write's parameters, read by the type that Meta declares for them.

Values arrive as text; what is no text is JSON (S), and a text may be a JSON text too, quotes included, as in Meta's own
samples (O, marketing-api/bidding/overview/billing-events). The wordings of the refusals are T where two of Meta's
clients quote them (`must be one of {...}`, `must be an integer`, `is required`), the others M.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

import orjson

from services.sandbox.meta.errors import GraphError, bad_parameter
from services.sandbox.meta.loose import read_value
from services.sandbox.meta.params import Params

LARGEST = 2**63 - 1
_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no"}


def required(params: Params, name: str) -> str:
    """Raises: GraphError 100 when it is missing or empty."""
    value = text(params, name)
    if not value:
        raise missing(name)
    return value


def missing(name: str) -> GraphError:
    return bad_parameter(f"The parameter {name} is required")


def text(params: Params, name: str) -> str | None:
    value = params.get(name)
    if value is not None and len(value) > 1 and value[0] == value[-1] == '"':
        try:
            unquoted = json.loads(value)
        except ValueError:
            return value
        return unquoted if isinstance(unquoted, str) and _is_whole(unquoted) else value
    return value


def whole(params: Params, name: str, *, least: int = -LARGEST) -> int | None:
    value = text(params, name)
    if value is None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,19}", value):
        raise bad_parameter(f"Param {name} must be an integer")
    number = int(value)
    if not least <= number <= LARGEST:
        raise bad_parameter(f"Param {name} must be an integer" + (f" of at least {least}" if least > -LARGEST else ""))
    return number


def number(params: Params, name: str) -> float | None:
    value = text(params, name)
    if value is None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,16}(\.[0-9]{1,16})?", value):
        raise bad_parameter(f"Param {name} must be a number")
    return float(value)


def flag(params: Params, name: str) -> bool | None:
    value = text(params, name)
    if value is None:
        return None
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise bad_parameter(f"Param {name} must be a boolean")


def choice(params: Params, name: str, words: Iterable[str]) -> str | None:
    value = text(params, name)
    return None if value is None else _one_of(name, value, words)


def choices(params: Params, name: str, words: Iterable[str]) -> list[str] | None:
    """A JSON list, or words with commas between them."""
    values = texts(params, name)
    if values is None:
        return None
    known = tuple(words)
    return [_one_of(f"{name}[{index}]", value, known) for index, value in enumerate(values)]


def texts(params: Params, name: str) -> list[str] | None:
    """Ids or words: a JSON list, or with commas between them."""
    value = text(params, name)
    if value is None:
        return None
    if value.startswith("["):
        return [given if isinstance(given, str) else _written(given) for given in items(params, name) or ()]
    return [part.strip() for part in value.split(",") if part.strip()]


def items(params: Params, name: str) -> list[Any] | None:
    value = params.get(name)
    if value is None:
        return None
    found = _json(value)
    if not isinstance(found, list):
        raise bad_parameter(f"Param {name} must be an array.")
    return found


def structure(params: Params, name: str) -> Any:
    """A JSON object or list. Some parameters that the SDK calls an object are lists in the documents."""
    value = params.get(name)
    if value is None:
        return None
    found = _json(value)
    if not isinstance(found, dict | list):
        raise bad_parameter(f"Param {name} must be a JSON object")
    return found


def _is_whole(text: str) -> bool:
    """Half a letter is none: it cannot be sent."""
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def _one_of(name: str, value: str, words: Iterable[str]) -> str:
    known = tuple(words)
    if value not in known:
        raise bad_parameter(f'Param {name} must be one of {{{", ".join(known)}}} - got "{value[:100]}"')
    return value


def _json(value: str) -> Any:
    """None for what cannot be read, or could not be shown again: too deep, too large a number, half a letter."""
    try:
        found = read_value(value)
        orjson.dumps([[[[[[[[found]]]]]]]])
    except (ValueError, RecursionError, TypeError):
        return None
    return found


def _written(value: Any) -> str:
    return (
        str(value) if isinstance(value, int | float) and not isinstance(value, bool) else orjson.dumps(value).decode()
    )
