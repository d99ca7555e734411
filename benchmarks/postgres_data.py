"""PostgreSQL stores of many sessions, made by the server itself out of a few that were saved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from mythline.postgres import PostgresStore
from tests.postgres.servers import DURABLE, Server

from .material import AGENT, history

KINDS = 8
"""Sessions that were saved, and that the others are copies of."""
LENGTH = 10
"""Messages of a session."""
_AT_ONCE = 20_000
_SETTINGS = {
    **DURABLE,
    "shared_buffers": "'1GB'",
    "max_wal_size": "'4GB'",
    "checkpoint_timeout": "'15min'",
    "maintenance_work_mem": "'256MB'",
}

# Turns of many sessions came in between each other, so that the messages of one lie apart, and the
# sessions that were saved last are not those that were made last.
_FILL = (
    """
INSERT INTO mythline.sessions
       (owner, agent_id, session_id, n, revision, line, length, head_id, before_id, message_count,
        body_bytes, created, updated, opening, title_folded, preview, preview_folded, usage)
SELECT '', $1, 'session_' || lpad(i::text, 8, '0'), 1000 + 2 * i, pg_temp.entry_id(i, length),
       1001 + 2 * i, length, pg_temp.entry_id(i, length - 1), pg_temp.entry_id(i, length - 3),
       length, body_bytes, created - 2 * $4::bigint + i,
       CASE WHEN i = $4::bigint - 1 THEN updated
            ELSE updated - $4::bigint + i * 7919 % $4::bigint END,
       opening, title_folded, preview, preview_folded, usage
  FROM generate_series($2::bigint, $3::bigint - 1) AS i
  JOIN mythline.sessions AS s ON s.owner = '' AND s.agent_id = 'kinds'
   AND s.session_id = 'kind-' || i % """
    f"{KINDS}"
    """ WHERE deleted IS NULL
""",
    """
INSERT INTO mythline.lines (owner, agent_id, session_id, line)
SELECT owner, agent_id, session_id, line FROM mythline.sessions
 WHERE owner = '' AND agent_id = $1 AND n >= 1000 + 2 * $2::bigint AND n < 1000 + 2 * $3::bigint
   AND session_id >= 'session_' || lpad($2::text, 8, '0') AND $4::bigint > 0
""",
    """
INSERT INTO mythline.entries (owner, agent_id, session_id, line, place, odd, total, entry_id, body)
SELECT '', $1, 'session_' || lpad(i::text, 8, '0'), 1001 + 2 * i, e.place, e.odd, e.total,
       pg_temp.entry_id(i, e.place), e.body
  FROM generate_series($2::bigint, $3::bigint - 1) AS i
  JOIN mythline.entries AS e ON e.owner = '' AND e.agent_id = 'kinds'
   AND e.session_id = 'kind-' || i % """
    f"{KINDS}"
    """ WHERE $4::bigint > 0
 ORDER BY e.place / 2, i, e.place
""",
)
_ENTRY_ID = """
CREATE FUNCTION pg_temp.entry_id(number bigint, place integer) RETURNS text LANGUAGE sql AS $$
  SELECT (lpad(to_hex(1780000000000 + number / 20000 * 100000 + place / 2 * 20000
                      + number % 20000), 12, '0')
          || '7' || lpad(place::text, 3, '0') || '8' || left(md5(number || '-' || place), 15)
         )::uuid::text
$$
"""
_INDEXES = """
SELECT pg_get_indexdef(indexrelid) AS made, indexrelid::regclass::text AS name
  FROM pg_index WHERE NOT indisprimary
   AND indrelid IN ('mythline.sessions'::regclass, 'mythline.entries'::regclass)
"""


@asynccontextmanager
async def server() -> AsyncGenerator[Server]:
    """A server that keeps commits when the power fails, as far as the disk does."""
    made = await asyncio.to_thread(Server, _SETTINGS)
    try:
        yield made
    finally:
        await asyncio.to_thread(made.close)


async def filled(server: Server, name: str, sessions: int) -> str:
    """A new database with so many sessions, of `LENGTH` messages each; its address."""
    admin: Any = await asyncpg.connect(server.admin_dsn())
    await admin.execute(f"CREATE DATABASE {name} OWNER mythline")
    await _sync(admin, False)
    address = server.dsn(name)
    async with PostgresStore(address) as store:
        kinds = store.sessions("kinds")
        for number in range(KINDS):
            await kinds.create(f"kind-{number}")
            loaded = await kinds.load(f"kind-{number}")
            assert loaded is not None
            loaded.messages.extend(history(LENGTH))
            await kinds.save(loaded)
        await kinds.search("shadowglen")  # so that the index is begun, while there is little
    connection: Any = await asyncpg.connect(server.admin_dsn(name))
    try:
        await connection.execute(_ENTRY_ID)
        indexes = await connection.fetch(_INDEXES)
        for index in indexes:  # made anew at the end, which is faster
            await connection.execute(f"DROP INDEX {index['name']}")
        for start in range(0, sessions, _AT_ONCE):
            end = min(sessions, start + _AT_ONCE)
            async with connection.transaction():
                for statement in _FILL:
                    await connection.execute(statement, AGENT, start, end, sessions)
        await connection.fetchval(
            "SELECT setval('mythline.numbers', $1::bigint)", 1001 + 2 * sessions
        )
        for index in indexes:
            await connection.execute(index["made"])
        await connection.execute("VACUUM ANALYZE")
        await _sync(admin, True)
        await admin.execute("CHECKPOINT")
    finally:
        await connection.close()
        await admin.close()
    return address


async def _sync(admin: Any, on: bool) -> None:
    """Whether the server waits for the disk: not while data is made."""
    for name in "fsync", "full_page_writes":
        await admin.execute(f"ALTER SYSTEM SET {name} = {'on' if on else 'off'}")
    await admin.execute("SELECT pg_reload_conf()")
