"""Sessions over HTTP: a router for an application of the user's own, and the server's."""

from .app import create_app as create_app
from .router import session_router as session_router
from .security import Guard as Guard

__all__ = ["Guard", "create_app", "session_router"]
