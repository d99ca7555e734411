"""What a session carries beside its messages, as Pydantic AI's `ConversationRecord` has it."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_ai.conversation_store import ConversationRecord
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RunUsage

from . import damage
from .errors import StoreCorrupt
from .models import SessionDetails, SessionState


@cache
def _usage_adapter() -> TypeAdapter[RunUsage]:
    return TypeAdapter(RunUsage)


@cache
def _deferred_adapter() -> TypeAdapter[DeferredToolRequests]:
    return TypeAdapter(DeferredToolRequests)


def record_of(details: SessionDetails | SessionState) -> ConversationRecord:
    """The record of a session.

    Raises:
        StoreCorrupt: If its usage, or what it waits on, can't be read.
    """
    try:
        usage = _usage_adapter().validate_json(details.usage)
        deferred = _deferred(details.deferred_tool_requests)
    except ValidationError as error:
        raise damage.of_row() from error
    return ConversationRecord(
        conversation_id=details.session_id,
        head_id=details.head_id,
        usage=usage,
        deferred_tool_requests=deferred,
        scope=details.owner,
        forked_from=details.forked_from,
        forked_at=details.forked_at,
        branches=list(details.branches),
        revision=details.revision,
        updated_at=details.last_modified,
    )


def listed(details: SessionDetails) -> ConversationRecord:
    """As `record_of`, for lists: without what can't be read."""
    try:
        return record_of(details)
    except StoreCorrupt:
        return record_of(dataclasses.replace(details, usage=b"{}", deferred_tool_requests=None))


def unknown(row: Any) -> list[str]:
    """What of a row's `usage` and `deferred` is JSON that the installed Pydantic AI can't read."""
    found: list[str] = []
    for name, read in (("usage", _usage_adapter().validate_json), ("deferred", _deferred)):
        try:
            read(row[name])
        except ValidationError:
            found.append(name)
    no_json = damage.unreadable(row) if found else []
    return [name for name in found if name not in no_json]


def _deferred(stored: bytes | None) -> DeferredToolRequests | None:
    return None if stored is None else _deferred_adapter().validate_json(stored)


def usage_json(record: ConversationRecord) -> bytes:
    """The usage that a record carries, as it is stored."""
    return _usage_adapter().dump_json(record.usage)


def deferred_json(record: ConversationRecord) -> bytes | None:
    """What a record's conversation waits on, as it is stored."""
    deferred = record.deferred_tool_requests
    return None if deferred is None else _deferred_adapter().dump_json(deferred)
