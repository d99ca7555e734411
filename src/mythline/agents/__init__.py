"""Pydantic AI agents in sessions: `SessionMemory` loads, runs and appends, also when a run fails.

One line on an agent is all it takes:
`Agent(model, capabilities=[SessionMemory(store, agent_id="story_researcher")])`.
`SessionSearch` is a toolset with which an agent looks into earlier sessions.
"""

from __future__ import annotations

from .memory import SessionMemory
from .recall import SessionSearch
from .turns import OnConflict, RunConflict, SavedTurn

__all__ = ["OnConflict", "RunConflict", "SavedTurn", "SessionMemory", "SessionSearch"]
