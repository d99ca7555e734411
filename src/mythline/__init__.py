"""Sessions for Pydantic AI agents: kept durably, listed, resumed, exported and imported.

    async with open_store() as store:
        sessions = store.sessions("story_researcher")

Names are imported when they are first used: Pydantic AI is heavy, and not everything needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agents import SessionMemory as SessionMemory
    from .agents import SessionSearch as SessionSearch
    from .errors import (
        MythlineError as MythlineError,
    )
    from .errors import (
        SessionExists as SessionExists,
    )
    from .errors import (
        SessionNotFound as SessionNotFound,
    )
    from .errors import (
        StoreError as StoreError,
    )
    from .errors import (
        UnreadableMessages as UnreadableMessages,
    )
    from .http import create_app as create_app
    from .http import session_router as session_router
    from .models import SessionDetails as SessionDetails
    from .models import SessionInfo as SessionInfo
    from .models import SessionPage as SessionPage
    from .models import Transcript as Transcript
    from .models import TranscriptItem as TranscriptItem
    from .opening import open_store as open_store
    from .sessions import AgentSessions as AgentSessions
    from .store import Store as Store

_HOME = {
    "AgentSessions": "sessions",
    "MythlineError": "errors",
    "SessionDetails": "models",
    "SessionExists": "errors",
    "SessionInfo": "models",
    "SessionMemory": "agents",
    "SessionNotFound": "errors",
    "SessionPage": "models",
    "SessionSearch": "agents",
    "Store": "store",
    "StoreError": "errors",
    "Transcript": "models",
    "TranscriptItem": "models",
    "UnreadableMessages": "errors",
    "create_app": "http",
    "open_store": "opening",
    "session_router": "http",
}

__all__ = list(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'mythline' has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
