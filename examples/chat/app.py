"""A chat in an application of your own: a page, and the agent's routes at /api.

$ granian --interface asgi examples.chat.app:app
"""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse

from mythline import open_store, session_router

from .agent import agent

app = FastAPI(title="Chat")
app.include_router(session_router(open_store(), agent=agent, prefix="/api"))


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """The page: a list of sessions, and the one that is talked in."""
    return FileResponse(Path(__file__).with_name("page.html"))
