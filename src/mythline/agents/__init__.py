"""Pydantic AI agents in sessions: `SessionMemory` loads, runs and appends, also when a run fails.

One line on an agent is all it takes:
`Agent(model, capabilities=[SessionMemory(store, agent_id="story_researcher")])`.
"""

from __future__ import annotations

from .memory import SessionMemory
from .turns import OnConflict, RunConflict, SavedTurn

__all__ = ["OnConflict", "RunConflict", "SavedTurn", "SessionMemory"]
