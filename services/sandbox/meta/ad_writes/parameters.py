"""Parameters of a write, read by what `parameters.toml` declares. Unknown ones are passed over, as Meta does (M)."""

import tomllib
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from services.sandbox.meta import inputs
from services.sandbox.meta.moments import read_moment
from services.sandbox.meta.params import Params


@cache
def _declared() -> Mapping[str, Mapping[str, Mapping[str, tuple[str, ...]]]]:
    """Kind -> verb -> type -> names; under the verb `words`: name -> allowed words."""
    read = tomllib.loads((Path(__file__).parent / "parameters.toml").read_text())
    return {
        kind: {verb: {key: tuple(text.split()) for key, text in group.items()} for verb, group in verbs.items()}
        for kind, verbs in read.items()
    }


def read_parameters(kind: str, verb: str, params: Params, now: datetime) -> dict[str, Any]:
    """The parameters that were given, as values: moments are aware datetimes, money is whole minor units.

    Raises: GraphError 100 for a value of another type or an unknown word.
    """
    declared = _declared()[kind]
    given: dict[str, Any] = {}
    for type_name, names in declared[verb].items():
        for name in names:
            if name in params:
                given[name] = _value(type_name, name, params, declared["words"], now)
    return given


def _value(type_name: str, name: str, params: Params, words: Mapping[str, tuple[str, ...]], now: datetime) -> Any:
    if type_name == "choice":
        return inputs.choice(params, name, words[name])
    if type_name == "choices":
        return inputs.choices(params, name, words[name])
    if type_name == "moment":
        return read_moment(params, name, now)
    if type_name == "count":
        return inputs.whole(params, name, least=0)
    return _PLAIN[type_name](params, name)


_PLAIN: Mapping[str, Callable[[Params, str], Any]] = {
    "text": inputs.text,
    "flag": inputs.flag,
    "whole": inputs.whole,
    "number": inputs.number,
    "list": inputs.items,
    "object": inputs.structure,
}
