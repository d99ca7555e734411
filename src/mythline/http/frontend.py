"""A stored history in the shape of a front end's protocol, so that it shows a resumed session.

A message has the id of its entry. Sent back to `/chat` or `/ag-ui`, it names that entry. An answer
with tools is several entries, and in the Vercel AI protocol one message, which has the id of the
first. System prompts are the server's, and not shown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, Literal

from ag_ui.core import AssistantMessage, UserMessage
from pydantic import BaseModel
from pydantic_ai.conversation_store import ConversationEntry
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolReturnPart
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.ui.ag_ui import AGUIAdapter
from pydantic_ai.ui.vercel_ai import VercelAIAdapter
from pydantic_ai.ui.vercel_ai.response_types import BaseChunk

from ..messages import dump_plain
from ..models import HistoryPage
from ..sessions import AgentSessions

Format = Literal["vercel", "ag-ui"]


async def messages_as(
    kind: Format, sessions: AgentSessions, session_id: str, page: HistoryPage
) -> list[dict[str, Any]]:
    """The messages of a page as a protocol has them; what can't be read is left out.

    A page may end between a call and its answer, so the whole history is looked at.
    """
    skipping = sessions.skipping_unreadable()
    record = await skipping.read_record(session_id)
    head = record.head_id if record is not None else None
    history = await skipping.read_history(head)
    wanted = {entry.entry_id for entry in page.entries}
    if kind == "ag-ui":
        return [*_ag_ui([entry for entry in history if entry.id in wanted])]
    return _vercel(history, wanted, None if record is None else record.deferred_tool_requests)


def _vercel(
    history: Sequence[ConversationEntry],
    wanted: Collection[str],
    waits: DeferredToolRequests | None,
) -> list[dict[str, Any]]:
    names = {id(entry.message): entry.id for entry in history}
    of: list[str] = []

    def identity(message: ModelRequest | ModelResponse, role: str, index: int) -> str:
        name = names[id(message)]
        of.append(name)
        return name if role != "system" else f"{name}-{index}"

    messages: list[ModelMessage] = [entry.message for entry in history]
    dumped = VercelAIAdapter.dump_messages(
        [*messages, _closing(messages, waits)], generate_message_id=identity, sdk_version=6
    )
    called = {call.tool_call_id for call in waits.calls} if waits is not None else set[str]()
    found: list[dict[str, Any]] = []
    for message, name in zip(dumped, of, strict=True):
        if name not in wanted or message.role == "system":
            continue
        shown = _complete(message.model_dump(mode="json", by_alias=True, exclude_none=True), called)
        if found and found[-1]["role"] == shown["role"] == "assistant":
            found[-1]["parts"] += [{"type": "step-start"}, *shown["parts"]]  # as it was streamed
        else:
            found.append(shown)
    return found


def _complete(message: dict[str, Any], called: Collection[str]) -> dict[str, Any]:
    """Set right how tools are shown.

    Their input and output may be null, where all else is left out that is. And a call that waits
    to be run elsewhere, one of `called`, is not to be approved.
    """
    for part in message["parts"]:
        if "toolCallId" in part:
            part.setdefault("input", None)
            if part["state"] == "approval-requested" and part["toolCallId"] in called:
                part["state"] = "input-available"
                del part["approval"]
        if part.get("state") == "output-available":
            part.setdefault("output", None)
    return message


_NEEDED: Final = {
    "tool-input-available": "input",
    "tool-input-error": "input",
    "tool-output-available": "output",
}


def vercel_event(event: BaseChunk) -> str | None:
    """A tool's event whose input or output is null, which clients want said; `None` for others."""
    kind = getattr(event, "type", "")
    name = _NEEDED.get(kind)
    if name is None or getattr(event, name) is not None:
        return None
    chunk = event.model_dump(mode="json", by_alias=True, exclude_none=True)
    return _line({**chunk, name: None})


def event_line(event: BaseModel) -> str:
    """An event of either protocol, with U+FFFD for each half of a surrogate pair in it."""
    return _line(event.model_dump(mode="json", by_alias=True, exclude_none=True))


def _line(event: dict[str, Any]) -> str:
    return f"data: {dump_plain(event).decode()}\n\n"


def _closing(messages: Sequence[ModelMessage], waits: DeferredToolRequests | None) -> ModelRequest:
    """Answers for calls that nobody will answer, which would be shown as if they waited for one."""
    waiting = set[str]()
    if waits is not None:
        waiting = {call.tool_call_id for call in [*waits.calls, *waits.approvals]}
    answered = {
        getattr(part, "tool_call_id", None)
        for message in messages
        if isinstance(message, ModelRequest)
        for part in message.parts
    }
    return ModelRequest(
        [
            ToolReturnPart(call.tool_name, "Interrupted.", call.tool_call_id, outcome="interrupted")
            for message in messages
            if isinstance(message, ModelResponse)
            for call in message.tool_calls
            if call.tool_call_id not in answered | waiting
        ]
    )


def _ag_ui(history: Sequence[ConversationEntry]) -> Iterator[dict[str, Any]]:
    for entry in history:
        dumped = AGUIAdapter.dump_messages([entry.message])
        main = [each for each in dumped if isinstance(each, (UserMessage, AssistantMessage))]
        for index, message in enumerate(dumped):
            is_main = bool(main) and message is main[-1]
            message.id = entry.id if is_main else f"{entry.id}-{index}"
            if message.role == "system":
                continue
            yield message.model_dump(mode="json", by_alias=True, exclude_none=True)
