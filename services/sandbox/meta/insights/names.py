"""The names that ads insights take, and the texts that refuse others.

Texts T: `is not valid for fields param` issue 98 of facebook-nodejs-business-sdk, `after V19.0` issue 35334 of airbyte,
`must be one of the following values` issue 15 of facebook-nodejs-business-sdk.
"""

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from services.sandbox.meta.errors import GraphError, bad_parameter

LEVELS = ("account", "campaign", "adset", "ad")
"""From the top; the deepest last (S)."""
_FIELDS_PAGE = "https://developers.facebook.com/docs/marketing-api/reference/ads-insights/"


@cache
def _names() -> Mapping[str, frozenset[str]]:
    read = tomllib.loads(Path(__file__).with_name("ads_names.toml").read_text())
    return {group: frozenset(words.split()) for group, words in read.items()}


def known(group: str) -> frozenset[str]:
    """The names of a group of `ads_names.toml`."""
    return _names()[group]


def check_fields(asked: Iterable[str], param: str = "fields") -> None:
    """Raises: GraphError 100 that names every wrong one."""
    names = list(dict.fromkeys(asked))
    unknown = [name for name in names if name not in known("fields")]
    if unknown:
        verb = "is" if len(unknown) == 1 else "are"
        listed = ", ".join(unknown)[:400]
        raise bad_parameter(
            f"{listed} {verb} not valid for {param} param. please check {_FIELDS_PAGE} for all valid values"
        )
    removed = [name for name in names if name in known("removed_fields")]
    if removed:
        verb = "is" if len(removed) == 1 else "are"
        raise bad_parameter(f"{', '.join(removed)} {verb} not valid for {param} param after V19.0")


def check_each(param: str, given: Iterable[str], allowed: Iterable[str]) -> None:
    """Raises: GraphError 100 for the first word of a list that is none of the allowed ones."""
    for index, word in enumerate(given):
        if word not in allowed:
            raise not_one_of(f"{param}[{index}]", allowed)


def not_one_of(param: str, allowed: Iterable[str]) -> GraphError:
    return bad_parameter(f"{param} must be one of the following values: {', '.join(sorted(allowed))}")
