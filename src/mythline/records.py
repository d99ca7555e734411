"""What a session carries beside its messages, as Pydantic AI's `ConversationRecord` has it."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_ai.conversation_store import ConversationRecord
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RunUsage

from . import damage, messages
from .errors import InvalidInput, InvalidMessages, StoreCorrupt
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


def check_carried(usage: bytes, deferred: bytes | None) -> None:
    """Refuse what a file says that a session carries if a load could not read it.

    Raises:
        InvalidMessages: If it can't be.
    """
    for adapter, body, name in (
        (_usage_adapter, usage, "usage"),
        (_deferred_adapter, deferred, "deferred_tool_requests"),
    ):
        try:
            if body is not None and body != b"{}":
                adapter().validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(map(str, (name, *first["loc"])))
            raise InvalidMessages(
                f"Pydantic AI can't read what the session carries: {first['msg']} (at {where})."
            ) from error


def usage_json(record: ConversationRecord) -> bytes:
    """The usage that a record carries, as it is stored.

    Raises:
        InvalidInput: If it can't be written as JSON that can be read again.
    """
    return _json(_usage_adapter(), record.usage, "usage")


def deferred_json(record: ConversationRecord) -> bytes | None:
    """What a record's conversation waits on, as it is stored.

    Raises:
        InvalidInput: If it can't be written as JSON that can be read again: its metadata, say.
    """
    deferred = record.deferred_tool_requests
    return None if deferred is None else _json(_deferred_adapter(), deferred, "deferred requests")


def _json(adapter: TypeAdapter[Any], value: Any, what: str) -> bytes:
    try:
        body = messages.as_json(adapter, value)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"The session's {what} can't be stored: {error}") from error
    if messages.depth(body) > messages.MAX_DEPTH:
        raise InvalidInput(f"The session's {what} nest deeper than {messages.MAX_DEPTH} levels.")
    return body
