"""Meta's JSON of assets: pydantic models of what we make something of; the other fields are handed on as they came.

What is wrong about a field that only adds (a parent, a task) is left out; without an id that could be one, or with a
token that could not be one, the whole entry is odd.
Source of the fields: the reference of each node, read 2026-11, and the Python business SDK's `adobjects`.
"""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from libs.platforms.meta.wire import Code, NumericId, Text, TokenText


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Ref(_Wire):
    """Another node, named inside of one."""

    id: NumericId


def _ref(value: Any) -> Ref | None:
    try:
        return Ref.model_validate(value)
    except ValidationError:
        return None


def _words(value: Any) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else []
    return tuple(word for word in listed if isinstance(word, str) and 0 < len(word) <= _MAX_WORD_CHARS)


_MAX_WORD_CHARS = 100
_AdAccountId = Annotated[str, Field(pattern=r"^act_[0-9]{1,32}$")]
_Ref = Annotated[Ref | None, BeforeValidator(_ref)]
_Words = Annotated[tuple[str, ...], BeforeValidator(_words)]


class Node(_Wire):
    """What every kind has."""

    id: NumericId
    name: Text = None


class PageNode(Node):
    """A page; `tasks` and `access_token` as the asker has them."""

    tasks: _Words = ()
    access_token: TokenText | None = None


class InstagramNode(Node):
    """An Instagram account with a professional profile."""

    username: Text = None


class PageWithInstagram(_Wire):
    """A page with the Instagram account that it owns, and one that is only connected to it."""

    id: NumericId
    instagram_business_account: InstagramNode | None = None
    connected_instagram_account: InstagramNode | None = None


class InstagramProfile(_Wire):
    """Whom a token of Instagram's own login is of. `id` is scoped to the app, `user_id` is the account's."""

    user_id: NumericId
    name: Text = None
    username: Text = None


class ThreadsLink(_Wire):
    """The Threads profile that belongs to an Instagram account."""

    threads_user_id: NumericId


class AdAccountNode(_Wire):
    """An ad account."""

    id: _AdAccountId
    name: Text = None
    account_status: Code = None
    business: _Ref = None
    user_tasks: _Words = ()


class PixelNode(Node):
    """A pixel, which Meta calls a dataset by now."""

    is_unavailable: Annotated[bool, BeforeValidator(lambda value: value is True)] = False
    owner_business: _Ref = None


class CatalogNode(Node):
    """A catalog of products."""

    business: _Ref = None
