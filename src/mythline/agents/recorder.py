"""What a run adds to a session, whatever happens to the history that the model is sent.

A history processor may cut, copy or rewrite the run's history, the run's own messages included.
So the recorder doesn't ask afterwards what is new: it looks at the history whenever a message can
have been added, before others can have changed it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, cast

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    SystemPromptPart,
    ToolCallPart,
    ToolReturn,
    ToolReturnPart,
    UserPromptPart,
)

# What Pydantic AI answers such calls with (pydantic_ai._tool_execution).
_FINAL = "Final result processed."
_SKIPPED = "Tool not executed - a final result was already processed."


class Recorder:
    """The messages of one run, in order.

    A message is the run's own if it carries the run's id, which Pydantic AI gives to all that a
    run adds, and to nothing that it was given.

    Attributes:
        new: What is to be appended; `carried` first, which came with the run.
        streamed_output: The run was a stream that came to its output.
        final_call_id: The call whose arguments are that output, if it is one's.
        returns: What tools returned since the last response, by the id of the call: a
            `ToolReturnPart` is the whole answer, of a tool that failed or asked to be called again.
        first: The first request, as long as it may have been added unseen.
    """

    def __init__(
        self,
        run_id: str = "",
        history: Sequence[ModelMessage] = (),
        carried: Sequence[ModelMessage] = (),
    ) -> None:
        self.new = list(carried)
        self.streamed_output = False
        self.final_call_id: str | None = None
        self.returns: dict[str, Any] = {}
        self.first: ModelRequest | None = None
        self._run_id = run_id
        self._carried = len(carried)
        self._history: list[ModelMessage] = []
        self._known: dict[int, ModelMessage] = {}  # by identity, and kept: an id may be used again
        self._sent: ModelMessage | None = None
        self._asked = False
        self._remember(history)

    def look(self, history: list[ModelMessage]) -> None:
        """Take down what came to `history` since the last look."""
        self._history = history
        if self._sent is not None:
            start = self._after(self._sent)
            self._sent = None
        else:
            start = len(history)
            while start and id(history[start - 1]) not in self._known:
                start -= 1
        rewritten = start == 0 and bool(self._known)  # not a message is left that was there
        for message in history[start:]:
            if id(message) in self._known:
                continue
            self._remember([message])
            if message.run_id == self._run_id and not (rewritten and message in self.new):
                self.new.append(message)

    def sending(self) -> None:
        """Others may now rewrite the history, until the answer to its last message comes."""
        self._sent = self._history[-1] if self._history else None
        self._asked = True

    def _after(self, sent: ModelMessage) -> int:
        """Where the messages after the one that was sent begin, in a history that was rewritten."""
        history = self._history
        for index in range(len(history) - 1, -1, -1):
            if history[index] is sent:
                return index + 1
        after = 0
        for index in range(len(history) - 1, -1, -1):
            message = history[index]
            if isinstance(message, ModelRequest):
                after = after or index + 1
                if id(message) not in self._known and _completes(message, sent):
                    if self.new and self.new[-1] is sent:
                        self.new[-1] = message
                    after = index + 1
                    break
        self._remember(history[:after])
        return after

    def _remember(self, messages: Iterable[ModelMessage]) -> None:
        self._known.update((id(message), message) for message in messages)

    def finish(self, *, ended: bool) -> list[ModelMessage]:
        """All that is new, once the run is over.

        A response whose calls will never be answered is marked as Pydantic AI marks one that the
        run stopped at, so that the next prompt finds it closed.

        Args:
            ended: The run came to its output, and may be waiting for answers to the calls in it.
        """
        if self._history:
            self.look(self._history)
        elif self.first is not None and self.first.run_id == self._run_id:
            self.new.append(self.first)
        if not self.new or (len(self.new) == self._carried and not self._asked):
            return []
        last = self.new[-1]
        if isinstance(last, ModelRequest) and any(map(_is_for_one_request, last.parts)):
            kept = [part for part in last.parts if not _is_for_one_request(part)]
            self.new[-1] = dataclasses.replace(last, parts=kept)
        elif isinstance(last, ModelResponse) and last.tool_calls and self._is_whole(last):
            if self.streamed_output:
                self.new.append(self._answers(last))
            elif not ended:
                self._close(last)
        return self.new

    def _is_whole(self, response: ModelResponse) -> bool:
        """Whether a response came to its end.

        One of `run_stream` that is cancelled while its tools run is marked as cut off, though tools
        run only when all of it is there.
        """
        if response.state == "interrupted" and any(
            call.tool_call_id in self.returns for call in response.tool_calls
        ):
            self.new[-1] = dataclasses.replace(response, state="complete")
            return True
        return response.state == "complete"

    def _close(self, response: ModelResponse) -> None:
        """Say that the calls of the last response will not be answered, but those that were.

        A run that is cancelled ends before Pydantic AI has put into the history what its tools had
        returned by then.
        """
        calls = [call for call in response.tool_calls if call.tool_call_id in self.returns]
        if not calls:
            self.new[-1] = dataclasses.replace(response, state="interrupted")
            return
        self.new.append(_request(response, self._parts(calls), state="interrupted"))

    def _answers(self, response: ModelResponse) -> ModelRequest:
        """What `run_stream` answers its last response with, which it keeps to its result."""
        return _request(response, self._parts(response.tool_calls))

    def _parts(self, calls: Sequence[ToolCallPart]) -> list[ModelRequestPart]:
        """The answers to calls, and after them what tools said to the model beside."""
        returned = [self.returns.get(call.tool_call_id) for call in calls]
        beside = [
            UserPromptPart(content=said.content)
            for said in returned
            if isinstance(said, ToolReturn) and said.content
        ]
        return [*map(self._answer, calls), *beside]

    def _answer(self, call: ToolCallPart) -> ToolReturnPart:
        metadata: Any = None
        if call.tool_call_id == self.final_call_id:
            content: Any = _FINAL
        else:
            content = self.returns.get(call.tool_call_id, _SKIPPED)
            if isinstance(content, ToolReturnPart):
                return cast("ToolReturnPart", content)
            if isinstance(content, ToolReturn):
                metadata, content = content.metadata, content.return_value
        part = ToolReturnPart(call.tool_name, content, call.tool_call_id, tool_kind=call.tool_kind)
        part.metadata = metadata
        return part


def _request(
    response: ModelResponse,
    parts: Sequence[ModelRequestPart],
    state: Literal["complete", "interrupted"] = "complete",
) -> ModelRequest:
    """A request of the same run that answers a response."""
    return ModelRequest(
        parts,
        timestamp=datetime.now(UTC),
        run_id=response.run_id,
        conversation_id=response.conversation_id,
        state=state,
    )


def _is_for_one_request(part: object) -> bool:
    return isinstance(part, SystemPromptPart) and part.scope == "request"


def _completes(message: ModelRequest, sent: ModelMessage) -> bool:
    """Whether `message` is `sent` with parts added, but not a history summed up before it."""
    remaining = iter(message.parts)
    if not isinstance(sent, ModelRequest) or not all(part in remaining for part in sent.parts):
        return False
    before = message.parts[: message.parts.index(sent.parts[0])] if sent.parts else message.parts
    return all(isinstance(part, SystemPromptPart) for part in before)
