"""What goes over the wire: the models of request and response bodies, for OpenAPI.

Times are RFC 3339 in UTC with `Z`, sizes are bytes. Members are only ever added.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict

from ..formats import EXPORTS
from ..formats.archive import ARCHIVES
from ..ids import MAX_AGENT_ID, MAX_SESSION_ID
from ..models import AgentInfo, Imported, Role, SessionDetails
from ..sessions import OnConflict

_GRAMMAR = "^[A-Za-z0-9_][A-Za-z0-9_-]*$"
# For the documents only: `mythline.ids` is where ids are checked.
SESSION_ID: dict[str, Any] = {"pattern": _GRAMMAR, "minLength": 1, "maxLength": MAX_SESSION_ID}
AGENT_ID: dict[str, Any] = {"pattern": _GRAMMAR, "minLength": 1, "maxLength": MAX_AGENT_ID}


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Health(_Answer):
    """The server runs."""

    status: Literal["ok"] = "ok"


class Agent(_Answer):
    """An agent that has sessions, or can be run here."""

    agent_id: str
    session_count: int
    last_modified: datetime | None
    runnable: bool

    @classmethod
    def of(cls, known: AgentInfo | None, agent_id: str, *, runnable: bool) -> Agent:
        """What the wire shows of an agent that may have no sessions yet."""
        return cls(
            agent_id=agent_id,
            session_count=0 if known is None else known.session_count,
            last_modified=None if known is None else known.last_modified,
            runnable=runnable,
        )


class SessionSummary(_Answer):
    """A session as lists show it."""

    session_id: str
    last_modified: datetime
    message_count: int
    title: str | None
    preview: str
    tags: list[str]
    pinned: bool
    archived: bool
    size: int


class LatestSession(_Answer):
    """The session that was saved last."""

    session_id: str


class Existence(_Answer):
    """Whether there is such a session."""

    exists: bool


class SessionInfo(SessionSummary):
    """A session with all that is known of it, without its messages."""

    agent_id: str
    created: datetime
    file_size: int
    metadata: dict[str, Any]
    usage: dict[str, Any]
    branches: list[str]
    forked_from: str | None
    forked_at: str | None
    revision: str
    deferred_tool_requests: dict[str, Any] | None = None

    @classmethod
    def of(cls, details: SessionDetails) -> SessionInfo:
        """What the wire shows of `details`."""
        shown = {
            name: getattr(details, name)
            for name in cls.model_fields
            if name not in ("file_size", "usage", "deferred_tool_requests")
        }
        waits = details.deferred_tool_requests
        return cls.model_validate(
            {
                **shown,
                "file_size": details.size,
                "usage": json.loads(details.usage),
                "deferred_tool_requests": None if waits is None else json.loads(waits),
            }
        )


class Attachment(_Answer):
    """A picture, file or link in a message; `size` in bytes."""

    kind: str
    media_type: str | None = None
    size: int | None = None
    url: str | None = None
    name: str | None = None
    file: int | None = None


class Reply(_Answer):
    """What is known of a model's response."""

    model_name: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    state: str | None = None
    finish_reason: str | None = None


class TranscriptItem(_Answer):
    """One thing that a person reads in a session. `content` is always text."""

    role: Role
    content: str
    entry_id: str
    timestamp: str | None
    attachments: list[Attachment]
    tool_name: str | None = None
    tool_call_id: str | None = None
    outcome: str | None = None
    reply: Reply | None = None


class Transcript(_Answer):
    """A session as a person reads it, oldest first."""

    session_id: str
    title: str | None
    revision: str
    messages: list[TranscriptItem]
    has_before: bool
    has_after: bool


class Messages(_Answer):
    """Messages of a session as Pydantic AI's `ModelMessage`s, each with its `entry_id`."""

    session_id: str
    revision: str
    messages: list[dict[str, Any]]
    has_before: bool
    has_after: bool


class Appended(_Answer):
    """What an append stored."""

    session_id: str
    revision: str
    message_count: int
    entry_ids: list[str]


_T = TypeVar("_T")


def check_strict(value: _T) -> _T:
    """Refuse what JSON doesn't have (`NaN`), and strings that aren't Unicode (RFC 7493)."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair is no character") from None
    return value


class CreatedSession(_Answer):
    """A session was made."""

    session_id: str
    status: Literal["created"] = "created"


class ImportedOne(_Answer):
    """What became of one of the sessions in a file."""

    session_id: str
    status: Literal["imported", "unchanged", "skipped", "failed"]
    message_count: int
    error: str | None = None

    @classmethod
    def of(cls, imported: Imported) -> ImportedOne:
        """The answer for what the service tells."""
        return cls(
            session_id=imported.session_id,
            status=imported.status,
            message_count=imported.message_count,
            error=imported.error,
        )


class ImportedSession(_Answer):
    """A session was made of what was sent; with `sessions`, the first of several."""

    session_id: str
    status: Literal["imported"] = "imported"
    message_count: int
    sessions: list[ImportedOne] | None = None


class DeletedSession(_Answer):
    """A session was deleted."""

    session_id: str
    status: Literal["deleted"] = "deleted"


class DeletedSessions(_Answer):
    """How many sessions were deleted."""

    deleted: int


# Bodies that are read as they come, so that FastAPI doesn't know them

_MESSAGE: dict[str, Any] = {
    "type": "object",
    "description": "A ModelMessage of Pydantic AI.",
    "required": ["kind", "parts"],
    "properties": {
        "kind": {"type": "string", "enum": ["request", "response"]},
        "parts": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["part_kind"],
                "properties": {"part_kind": {"type": "string"}},
            },
        },
    },
}
_HISTORY: dict[str, Any] = {"type": "array", "items": _MESSAGE}

APPEND_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["messages"],
                    "additionalProperties": False,
                    "properties": {"messages": {**_HISTORY, "minItems": 1}},
                }
            }
        },
    }
}
EXPORTED: dict[str, Any] = {
    kind.media_type.partition(";")[0]: {"schema": _HISTORY if name == "json" else {}}
    for name, kind in EXPORTS.items()
}

BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
ARCHIVED: dict[str, Any] = dict.fromkeys(ARCHIVES.values(), BYTES)

IMPORT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _HISTORY},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "An export, or another program's file. An array of "
                            "messages is named as the session, with `.json`.",
                        },
                        "session_id": {"type": "string", **SESSION_ID},
                        "on_conflict": {"type": "string", "enum": list(get_args(OnConflict))},
                    },
                }
            },
        },
    }
}


def _front_end(description: str, required: list[str], **properties: Any) -> dict[str, Any]:
    message = {
        "type": "object",
        "required": ["id", "role"],
        "properties": {"id": {"type": "string"}, "role": {"type": "string"}},
    }
    schema: dict[str, Any] = {
        "type": "object",
        "description": description,
        "required": ["messages", *required],
        "properties": {"messages": {"type": "array", "items": message}, **properties},
    }
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_STRING: dict[str, Any] = {"type": "string"}
CHAT_BODY: dict[str, Any] = _front_end(
    "What `useChat` of the AI SDK sends.",
    ["id", "trigger"],
    id=_STRING,
    trigger={"type": "string", "enum": ["submit-message", "regenerate-message"]},
    messageId={"type": ["string", "null"]},
)
AG_UI_BODY: dict[str, Any] = _front_end(
    "The `RunAgentInput` of AG-UI.",
    ["threadId", "runId", "tools", "context"],
    threadId=_STRING,
    runId=_STRING,
    tools={"type": "array"},
    context={"type": "array"},
)
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The events of the protocol, as they come.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
