"""What a session carries beside its messages, as Pydantic AI's `ConversationRecord` has it."""

from __future__ import annotations

from functools import cache

from pydantic import TypeAdapter
from pydantic_ai.conversation_store import ConversationRecord
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RunUsage

from .models import SessionDetails, SessionState


@cache
def _usage_adapter() -> TypeAdapter[RunUsage]:
    return TypeAdapter(RunUsage)


@cache
def _deferred_adapter() -> TypeAdapter[DeferredToolRequests]:
    return TypeAdapter(DeferredToolRequests)


def record_of(details: SessionDetails | SessionState) -> ConversationRecord:
    """The record of a session."""
    deferred = details.deferred_tool_requests
    return ConversationRecord(
        conversation_id=details.session_id,
        head_id=details.head_id,
        usage=_usage_adapter().validate_json(details.usage),
        deferred_tool_requests=None
        if deferred is None
        else _deferred_adapter().validate_json(deferred),
        scope=details.owner,
        forked_from=details.forked_from,
        forked_at=details.forked_at,
        branches=list(details.branches),
        revision=details.revision,
        updated_at=details.last_modified,
    )


def usage_json(record: ConversationRecord) -> bytes:
    """The usage that a record carries, as it is stored."""
    return _usage_adapter().dump_json(record.usage)


def deferred_json(record: ConversationRecord) -> bytes | None:
    """What a record's conversation waits on, as it is stored."""
    deferred = record.deferred_tool_requests
    return None if deferred is None else _deferred_adapter().dump_json(deferred)
