"""What every event model has in common, and the registry that finds a model by its CloudEvents type."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Event(BaseModel):
    """A payload on the wire. `event_type` ends in its version; unknown fields of newer writers are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    event_type: ClassVar[str] = ""
    topic: ClassVar[str] = ""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if not cls.event_type:
            return  # an abstract parent, not an event
        known = EVENT_TYPES.setdefault(cls.event_type, cls)
        if known is not cls:
            raise TypeError(f"event type {cls.event_type} is declared by {known.__name__} and by {cls.__name__}")


EVENT_TYPES: dict[str, type[Event]] = {}
"""Every declared event by its CloudEvents type; filled when `libs.events.topics` is imported."""
