"""What goes over the wire about a session's life: to create it, describe, find, branch, delete it.

As in `schemas`: times are RFC 3339 in UTC with `Z`, sizes are bytes, members are only ever added.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from ..models import EventType
from ..operations import SearchRole
from . import schemas


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class _Body(BaseModel):
    """A JSON object that refuses members it doesn't know, and names those that it does."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def _name_known(cls, value: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            raise ValidationError.from_exception_data(
                cls.__name__, [_with_known(each, cls) for each in error.errors()]
            ) from None


def _with_known(error: Any, model: type[BaseModel]) -> InitErrorDetails:
    """An error as it was; for an unknown member, with the ones that are known."""
    kind, message = error["type"], error["msg"]
    if kind == "extra_forbidden":
        message = f"Unknown. Known are {', '.join(model.model_fields)}."
    # The message goes in as a value, as a name in {} in it would be looked up.
    told = PydanticCustomError(kind, "{message}", {"message": message})
    return InitErrorDetails(type=told, loc=error["loc"], input=error["input"])


class CreateSession(_Body):
    """What a new session starts with; all of it can be left out."""

    session_id: Annotated[str | None, Field(json_schema_extra=schemas.SESSION_ID)] = None
    title: Annotated[str | None, Field(max_length=200)] = None
    tags: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=64)]],
            Field(max_length=50),
        ]
        | None
    ) = None
    metadata: Annotated[
        dict[str, JsonValue] | None,
        Field(description="Free data, at most 16 KiB as JSON."),
        AfterValidator(schemas.check_strict),
    ] = None


class DescribeSession(_Body):
    """What describes a session; what is left out stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"title": "Shadowglen", "tags": ["lore"], "pinned": True}]}
    )

    title: Annotated[
        str | None,
        Field(max_length=200, description="`null` to have it offered from the first prompt."),
    ] = None
    tags: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)]],
        Field(max_length=50, description="All of them."),
    ] = []
    pinned: Annotated[bool, Field(description="Stays on top, and is never pruned.")] = False
    archived: Annotated[bool, Field(description="Plain lists leave it out.")] = False
    metadata: Annotated[
        dict[str, JsonValue],
        Field(description="All of it: free data, at most 16 KiB as JSON."),
        AfterValidator(schemas.check_strict),
    ] = {}


class ForkSession(_Body):
    """Where a fork ends and what it is called; all of it can be left out."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"session_id": "another-way", "title": "Another way"}]}
    )

    entry_id: Annotated[
        str | None, Field(description="Its last entry; the whole history if left out.")
    ] = None
    session_id: Annotated[str | None, Field(json_schema_extra=schemas.SESSION_ID)] = None
    title: Annotated[str | None, Field(max_length=200)] = None


class BranchSession(_Body):
    """Where a session goes on."""

    entry_id: Annotated[
        str,
        Field(description="An entry of its history or of a branch; a branch's last switches to it"),
    ]


class Branch(_Answer):
    """A line of entries that a session left."""

    entry_id: str
    parts_at: str | None
    message_count: int
    own_count: int
    preview: str
    last_modified: datetime


class SearchHit(_Answer):
    """A message that a search found; `marks` are start and end (exclusive) in `snippet`."""

    session_id: str
    agent_id: str
    title: str | None
    entry_id: str
    role: SearchRole
    snippet: str
    marks: list[tuple[int, int]]
    last_modified: datetime
    timestamp: datetime
    is_current: bool


class DeletedSummary(schemas.SessionSummary):
    """A session in the trash; `purges` is when it will be gone, `null` for never."""

    deleted: datetime | None
    purges: datetime | None


class RestoreSession(_Body):
    """How a session comes back."""

    session_id: Annotated[
        str | None,
        Field(json_schema_extra=schemas.SESSION_ID, description="Its id from now on."),
    ] = None


class PurgedSessions(_Answer):
    """How many deleted sessions were purged."""

    purged: int


class PruneSessions(_Body):
    """Which sessions go to the trash: those that one of the bounds tells."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"older_than": "90d", "dry_run": True}]}
    )

    older_than: Annotated[
        str | None, Field(description="Saved longer ago: 30d, 12h, 2w, 90m, 45s.")
    ] = None
    keep: Annotated[int | None, Field(ge=0, description="All but this many, saved last.")] = None
    max_bytes: Annotated[
        int | None, Field(ge=0, description="The oldest, until the rest has at most so many bytes.")
    ] = None
    dry_run: Annotated[bool, Field(description="Only say what would be done.")] = False


class PrunedSessions(_Answer):
    """What a prune moved to the trash, or would."""

    pruned: int
    bytes: int
    sessions: list[str]
    dry_run: bool


class Event(_Answer):
    """What happened to a session: the `data` of a server-sent event."""

    type: EventType
    agent_id: str | None
    session_id: str | None
    revision: str | None
    time: datetime


class Ready(_Answer):
    """The store answers."""

    status: Literal["ready"] = "ready"
