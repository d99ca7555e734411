"""Agents that can be run by their ids, and where they come from."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any, cast

from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import AbstractCapability

from .. import ids
from ..errors import InvalidInput
from ..sessions import AgentSessions
from .memory import SessionMemory
from .turns import SavedTurn

AnyAgent = AbstractAgent[Any, Any]


def agent_id_of(agent: AnyAgent) -> str:
    """The id under which an agent is run: its name.

    Raises:
        InvalidInput: If it has none, or one that can't be an id.
    """
    if not agent.name:
        raise InvalidInput("The agent has no name. Give it one (`Agent(…, name=…)`), or an id.")
    return ids.check_agent_id(agent.name)


def by_id(agents: Mapping[str, AnyAgent] | Sequence[AnyAgent]) -> dict[str, AnyAgent]:
    """Agents by their ids, which are their names unless the ids are given.

    Raises:
        InvalidInput: If one is no agent or has no id, or two have the same.
    """
    if isinstance(agents, Mapping):
        return {ids.check_agent_id(given): _checked(agent) for given, agent in agents.items()}
    found: dict[str, AnyAgent] = {}
    for agent in agents:
        agent_id = agent_id_of(_checked(agent))
        if agent_id in found:
            raise InvalidInput(f"Two agents have the id {agent_id!r}. Give one another.")
        found[agent_id] = agent
    return found


def _checked(agent: object) -> AnyAgent:
    if not isinstance(agent, AbstractAgent):
        raise InvalidInput(f"Not an agent of Pydantic AI: {type(agent).__name__}.")
    return cast("AnyAgent", agent)


def import_agents(specs: Iterable[str]) -> dict[str, AnyAgent]:
    """The agents that `[id=]module:agent` name, by their ids.

    Modules are looked for in the working directory too.

    Raises:
        InvalidInput: If a module or attribute isn't there or is no agent, or as `by_id`. What a
            module itself raises is raised as it is.
    """
    here = os.getcwd()  # noqa: PTH109
    if here not in sys.path:
        sys.path.insert(0, here)
    found: dict[str, AnyAgent] = {}
    for spec in specs:
        given, mark, target = spec.partition("=")
        if not mark:
            given, target = "", spec
        agent = _imported(spec, target)
        try:
            named = by_id({given: agent} if mark else [agent])
        except InvalidInput as error:
            raise InvalidInput(f"{spec}: {error}") from None
        if found.keys() & named.keys():
            raise InvalidInput(f"{spec}: another agent has this id. Say another=module:agent.")
        found |= named
    return found


def _imported(spec: str, target: str) -> Any:
    name, mark, path = target.partition(":")
    if not (name and mark and path):
        raise InvalidInput(f"{spec}: say module:agent, or id=module:agent.")
    if not all(step.isidentifier() for step in name.split(".")):
        raise InvalidInput(f"{spec}: {name!r} can't be a module's name.")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # of something that the module imports
        raise InvalidInput(f"{spec}: there is no module {error.name!r} here.") from None
    try:
        return reduce(getattr, path.split("."), module)
    except AttributeError:
        raise InvalidInput(f"{spec}: there is no {path!r} in module {name!r}.") from None


def memory_for(
    agent: AnyAgent, sessions: AgentSessions, note: Callable[[SavedTurn], None]
) -> SessionMemory:
    """A `SessionMemory` for one run in `sessions`, in place of the one that the agent may carry.

    That one's options hold: `on_conflict`, `exclusive`, `wait` and `on_save`. `note` is called
    before its `on_save`.
    """
    found: list[AbstractCapability[Any]] = []
    agent.root_capability.apply(found.append)
    own = next((one for one in found if isinstance(one, SessionMemory)), None)
    told = None if own is None else own.on_save

    async def on_save(turn: SavedTurn) -> None:
        note(turn)
        answer = None if told is None else told(turn)
        if inspect.isawaitable(answer):
            await answer

    memory = SessionMemory(
        sessions.store, agent_id=sessions.agent_id, owner=sessions.owner, on_save=on_save
    )
    if own is not None:
        memory.on_conflict = own.on_conflict
        memory.exclusive = own.exclusive
        memory.wait = own.wait
    return memory
