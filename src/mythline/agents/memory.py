"""SessionMemory: the capability that gives every run of an agent its session.

How it does it, by public hooks of Pydantic AI alone:

- `get_default_conversation_id` gives a run without a `conversation_id` a session id of ours.
- `wrap_run` surrounds a run however it is driven. Before the run it puts the stored history into
  `RunContext.messages`, which is the run's own history. After it, it appends what is new. When a
  run raises, is cancelled or abandoned, `wrap_run` sees it where `on_run_error` does not, so that
  is where a failed run is kept.
- `before_node_run` and `before_model_request` see each new message before a history processor
  can have changed it (`recorder`).
- `after_tool_execute` and `wrap_tool_execute` remember what came of tools, for one case: what
  `run_stream` answers the calls of its last response with reaches no hook and not the run's
  history, only the messages of its result. It is made again from what came of the tools, and the
  output's call is answered as Pydantic AI answers it.

Usage is counted for the session, but not handed to the run: `UsageLimits` are for each run, so a
long chat doesn't end at the 50 requests that Pydantic AI allows a run.

What these hooks can't do: a workspace, or a model chosen by what an earlier run recorded, is
settled before a history can be read; pass `conversation=await sessions.load(…)` for those.
A run that is cancelled in the moment in which a streamed answer is whole, but not in its history,
keeps what came before it: Pydantic AI lets go of that answer, and no hook has it.
Realtime sessions are not kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from pydantic_ai import ModelRequestNode, UserPromptNode
from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering
from pydantic_ai.exceptions import ToolFailedError, ToolRetryError, UserError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
    repair_messages,
)
from pydantic_ai.run import AgentRunResult
from pydantic_ai.tools import DeferredToolRequests, RunContext, ToolDefinition
from pydantic_ai.usage import RunUsage

from .. import ids
from ..errors import InvalidInput
from ..sessions import AgentSessions
from ..store import SessionKey, Store
from .finishing import drivers, ending_with, later, settled
from .given import beyond
from .locks import alone
from .recorder import Recorder
from .turns import OnConflict, SavedTurn, Start, Turn, read, write

if TYPE_CHECKING:
    from pydantic_ai.capabilities.abstract import (
        AgentNode,
        NodeResult,
        WrapRunHandler,
        WrapToolExecuteHandler,
    )
    from pydantic_ai.models import ModelRequestContext

LOG: Final = logging.getLogger("mythline.agents")

Owner = str | None | Callable[[RunContext[Any]], "str | Awaitable[str | None] | None"]
"""Whose sessions a run is about, or a function that gives it."""


async def owner_of(owner: Owner, ctx: RunContext[Any]) -> str | None:
    """The owner in a run."""
    if not callable(owner):
        return owner
    found = owner(ctx)
    return await found if inspect.isawaitable(found) else found


class SessionMemory(AbstractCapability[Any]):
    """Every run of the agent goes on from its session, and is appended to it.

    The session is the run's `conversation_id`; without one it gets a new one, which its result
    names. A run that raises, is cancelled, times out, meets a usage limit, or whose stream is
    left, is kept as far as it went, and the next prompt goes on from there.

    A `message_history` or `conversation` that is passed as well must be what the session holds,
    or the end of it, perhaps with new messages after it; for a session that isn't there, it is
    what the session begins with. Anything else raises `InvalidInput`. Don't save such a run
    again: `sessions.save(result)` would raise `ConversationConflict`.

    Any number of runs may use one `SessionMemory` at the same time.

    Args:
        store: An open store.
        agent_id: The agent under which sessions are kept.
        owner: Whose sessions: an owner, `None`, or a function (sync or async) that gives it for
            a run, by its `deps` say.
        on_conflict: What to do with a turn when another was added to the session since its run
            began. `branch`: keep it as a branch beside the current history; `append`: after the
            newest message; `raise`: raise `RunConflict`, which has its messages.
        exclusive: Hold the session through a run; another run of it that asks the same waits,
            in this process or in another, `wait` seconds at most, and then raises `SessionBusy`.
        wait: Seconds, or `None` for as long as it takes.
        on_save: Called with each turn that was stored. If it raises, so does the run.

    Raises:
        InvalidId: If `agent_id` is outside the grammar of `mythline.ids`.
        InvalidInput: If another argument is not one of those above.
    """

    id: str | None = "session_memory"

    def __init__(
        self,
        store: Store,
        *,
        agent_id: str,
        owner: Owner = None,
        on_conflict: OnConflict = "branch",
        exclusive: bool = False,
        wait: float | None = None,
        on_save: Callable[[SavedTurn], Awaitable[None] | None] | None = None,
    ) -> None:
        if on_conflict not in ("branch", "append", "raise"):
            raise InvalidInput("`on_conflict` is `branch`, `append` or `raise`.")
        self.store = store
        self.agent_id = ids.check_agent_id(agent_id)
        self.owner = owner if callable(owner) else ids.check_owner(owner)
        self.on_conflict: OnConflict = on_conflict
        self.exclusive = exclusive
        self.wait = wait
        self.on_save = on_save
        self._given: Start | None = None
        self._start = Start(None)  # of a run's own copy, as the next
        self._recorder = Recorder()
        self._drivers: list[asyncio.Task[Any]] = []
        self._has_begun = False
        self._is_stored = False

    def go_on_from(self, start: Start) -> None:
        """Let the next run go on from a session that was read, with messages that begin with it.

        That is for whoever puts a run's history together, as `adapters` does.
        """
        self._given = start

    # What Pydantic AI asks

    @classmethod
    def get_serialization_name(cls) -> str | None:
        """None: a store can't be named in a spec."""
        return None

    @classmethod
    def combine(cls, capabilities: Sequence[AbstractCapability[Any]]) -> AbstractCapability[Any]:
        """Refuse a second one. One that is passed to a run takes the place of the agent's.

        Raises:
            UserError: Always.
        """
        raise UserError("An agent has one SessionMemory. Pass another to a run to replace it.")

    def get_ordering(self) -> CapabilityOrdering:
        """Outermost: it sees messages first, and what other capabilities made of a run last."""
        return CapabilityOrdering(position="outermost")

    def get_default_conversation_id(self, run_id: str) -> str | None:
        """A new session id, for a run that was given none."""
        return ids.new_session_id()

    async def for_run(self, ctx: RunContext[Any]) -> SessionMemory:
        """A copy, for what is known of one run."""
        own = copy.copy(self)
        if self.exclusive:
            own._drivers = drivers()
        return own

    # A run

    async def wrap_run(
        self, ctx: RunContext[Any], *, handler: WrapRunHandler
    ) -> AgentRunResult[Any]:
        """Load, run, append.

        Raises:
            InvalidId: If `conversation_id` can't name a session.
            InvalidInput: If a history was passed that is not the session's.
            SessionBusy: If another run holds the session (`exclusive`).
            SessionExists: If the session is another owner's, whom these sessions can't tell from
                their own (they have no owner, it was saved with a `scope`).
            UnreadableMessages: If the installed Pydantic AI can't read a stored message.
            RunConflict: If the session moved on (`on_conflict="raise"`) or was deleted, or can't
                be made.
            StoreError: If it can't be read, or the turn could not be made durable.
        """
        session_id = ids.check_session_id(ctx.conversation_id or "")
        sessions = self.store.sessions(self.agent_id, await owner_of(self.owner, ctx))
        async with self.held(sessions, session_id):
            self._start, carried = await self._begin(ctx, sessions, session_id)
            self._recorder = Recorder(ctx.run_id or "", ctx.messages, carried)
            before = copy.copy(ctx.usage)
            loop = asyncio.get_running_loop()

            def keep(result: AgentRunResult[Any] | None) -> Coroutine[Any, Any, None]:
                return self._keep(sessions, session_id, ctx, ctx.usage - before, result)

            try:
                with ending_with(self._drivers, lambda: not self._has_begun):
                    result = await handler()
            except GeneratorExit:  # nothing can be awaited: the run's task was thrown away
                later(loop, keep(None))
                raise
            except BaseException as error:
                try:
                    await settled(keep(None))
                except Exception as why:
                    if self._is_stored:
                        LOG.error("`on_save` failed for a failed run: %s", session_id, exc_info=why)
                        error.add_note(f"The turn is stored, but `on_save` failed: {why}")
                    else:
                        LOG.error("A failed run could not be kept: %s", session_id, exc_info=why)
                        error.add_note(f"The turn could not be stored in its session: {why}")
                raise
            await settled(keep(result))
            return result

    @contextlib.asynccontextmanager
    async def held(self, sessions: AgentSessions, session_id: str) -> AsyncGenerator[None]:
        """Hold a session, if this memory is `exclusive`.

        Raises:
            SessionBusy: If another run holds it.
        """
        if not self.exclusive:
            yield
            return
        key = SessionKey(sessions.owner, sessions.agent_id, session_id)
        async with alone(self.store, key, self.wait):
            yield

    async def _begin(
        self, ctx: RunContext[Any], sessions: AgentSessions, session_id: str
    ) -> tuple[Start, list[ModelMessage]]:
        """Make the session the run's history; also what was passed that the session hasn't got."""
        if self._given is not None:
            return self._given, ctx.messages[len(self._given.history) :]
        start = await read(sessions, session_id)
        if any(entry.message.run_id == ctx.run_id for entry in start.history):
            raise InvalidInput(
                f"`run_id={ctx.run_id!r}` is that of an earlier run of session {session_id!r}. "
                "Each run has its own; leave it out to have one generated."
            )
        if not ctx.messages:
            ctx.messages[:] = start.messages
            return start, []
        more = beyond(start.messages, ctx.messages)
        if more is None:
            raise InvalidInput(
                f"`message_history` or `conversation` is not what session {session_id!r} holds. "
                "Leave it out: SessionMemory loads the session. To go on from another point, "
                "branch or fork the session first."
            )
        return start, ctx.messages[len(ctx.messages) - more :]

    async def _keep(
        self,
        sessions: AgentSessions,
        session_id: str,
        ctx: RunContext[Any],
        used: RunUsage,
        result: AgentRunResult[Any] | None,
    ) -> None:
        output = None if result is None else result.output
        new = self._recorder.finish(ended=isinstance(output, DeferredToolRequests))
        stored = self._start.history[-1].message if self._start.history else None
        turn = Turn(
            new,
            used,
            output if isinstance(output, DeferredToolRequests) else None,
            replaces_head=isinstance(stored, ModelResponse)
            and stored.state == "suspended"
            and bool(new)
            and isinstance(new[0], ModelResponse),
        )
        if turn.is_empty:
            return
        revision, entry_ids, branched = await write(
            sessions, session_id, self._start, turn, self.on_conflict
        )
        self._is_stored = True
        if self.on_save is None:
            return
        saved = SavedTurn(
            agent_id=self.agent_id,
            owner=sessions.owner,
            session_id=session_id,
            run_id=ctx.run_id or "",
            revision=revision,
            entry_ids=entry_ids,
            branched=branched,
            failed=result is None,
        )
        told = self.on_save(saved)
        if inspect.isawaitable(told):
            await told

    # Its messages

    async def before_node_run(
        self, ctx: RunContext[Any], *, node: AgentNode[Any]
    ) -> AgentNode[Any]:
        """Take down what came since the node before; close calls that nobody will answer.

        Raises:
            InvalidInput: If other calls are answered than the session waits on. Pydantic AI would
                notice only when the calls are no longer waiting.
            UserError: If the session waits for answers and none are given.
        """
        self._has_begun = True
        recorder = self._recorder
        if isinstance(node, UserPromptNode):
            self._check_waiting(ctx, node)
            if node.user_prompt is not None and node.deferred_tool_results is None:
                self._close_calls(ctx)
            return node
        recorder.look(ctx.messages)
        if isinstance(node, ModelRequestNode):
            recorder.returns.clear()
        final = getattr(node, "final_result", None)  # a `SetFinalResult`: the end of a stream
        if final is not None:
            recorder.streamed_output = True
            recorder.final_call_id = final.tool_call_id
        return node

    async def after_node_run(
        self, ctx: RunContext[Any], *, node: AgentNode[Any], result: NodeResult[Any]
    ) -> NodeResult[Any]:
        """Know the first request: one that fails before it is sent may come to no other hook."""
        if isinstance(node, UserPromptNode) and isinstance(result, ModelRequestNode):
            self._recorder.first = result.request
        return result

    def _check_waiting(self, ctx: RunContext[Any], node: UserPromptNode[Any, Any]) -> None:
        """Refuse what would leave calls unanswered that the session waits on.

        Pydantic AI would close them as interrupted if others of the same response were answered.
        """
        wanted = self._start.waits_on
        if not wanted:
            return
        came = [part for message in self._recorder.new for part in message.parts]
        answered = {part.tool_call_id for part in came if isinstance(part, ToolReturnPart)}
        left = [call_id for call_id in wanted if call_id not in answered]
        results = node.deferred_tool_results
        named = ", ".join(map(repr, left))
        if results is not None:
            if {*left} != results.calls.keys() | results.approvals.keys():
                raise InvalidInput(
                    f"The session waits for answers to the calls {named}. "
                    "Send `deferred_tool_results` for all of them, and for no others."
                )
        elif node.user_prompt is not None or (
            not came and isinstance(ctx.messages[-1], ModelRequest)
        ):
            raise UserError(
                f"The session has unprocessed tool calls: it waits for answers to {named}. "
                "Pass `deferred_tool_results` for all of them, with a new prompt or without."
            )

    def _close_calls(self, ctx: RunContext[Any]) -> None:
        """Close calls that the session doesn't wait on, which Pydantic AI leaves to its caller."""
        record = self._start.record
        if record is not None and record.deferred_tool_requests is None and ctx.messages:
            last = ctx.messages[-1]
            # "incomplete": its stream was left. Pydantic AI sees to those that are "interrupted".
            open_states = ("complete", "incomplete")
            if isinstance(last, ModelResponse) and last.state in open_states and last.tool_calls:
                ctx.messages[:] = repair_messages(ctx.messages)

    async def before_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """Take down the request, before history processors."""
        self._recorder.look(ctx.messages)
        self._recorder.sending()
        return request_context

    async def after_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        result: Any,
    ) -> Any:
        """Remember what a tool returned, as other capabilities left it."""
        self._recorder.returns[call.tool_call_id] = result
        return result

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        handler: WrapToolExecuteHandler,
    ) -> Any:
        """Remember what the model is told of a tool that failed or asks to be called again."""
        try:
            return await handler(args)
        except ToolRetryError as error:
            self._recorder.returns[call.tool_call_id] = error.tool_retry
            raise
        except ToolFailedError as error:
            self._recorder.returns[call.tool_call_id] = error.tool_failed
            raise
