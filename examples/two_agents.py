"""Two agents in one application: one store, a router for each.

$ granian --interface asgi examples.two_agents:app
$ curl localhost:8000/api/research/sessions
$ curl localhost:8000/api/writing/sessions
"""

from fastapi import FastAPI

from mythline import open_store, session_router

AGENTS = {"/research": "story_researcher", "/writing": "story_writer"}

app = FastAPI(title="Stories")
store = open_store()

for prefix, agent_id in AGENTS.items():
    app.include_router(session_router(store, agent_id, prefix=prefix), prefix="/api")
