"""The sessions of one agent in an application of your own, at /api/research/sessions.

$ granian --interface asgi examples.one_agent:app
$ curl -X POST localhost:8000/api/research/sessions/create
"""

from fastapi import FastAPI

from mythline import open_store, session_router

app = FastAPI(title="Story research")
store = open_store()  # ".mythline", or MYTHLINE_STORE; opened and closed with the application


@app.get("/")
async def home() -> dict[str, str]:
    """Where the sessions are."""
    return {"sessions": "/api/research/sessions"}


app.include_router(session_router(store, "story_researcher", prefix="/research"), prefix="/api")
