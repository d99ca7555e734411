"""A database with thousands of sessions, put there at once."""

from __future__ import annotations

from typing import Any

import asyncpg

from mythline import search
from mythline.postgres import PostgresStore

SESSIONS = 6000

_FILL = """
WITH s AS (
  INSERT INTO mythline.sessions
         (owner, agent_id, session_id, n, revision, line, length, head_id, message_count,
          body_bytes, created, updated, deleted, pinned, archived, title, opening, title_folded,
          preview, preview_folded, tags)
  SELECT $1, $2, 'session-' || i, nextval('mythline.numbers'), 'r' || i,
         nextval('mythline.numbers'), 2, $1 || '-' || $2 || '-' || i || '-1', 2, 200,
         1700000000000000 + i * 7919 % 100000, 1700000000000000 + i * 104729 % 100000,
         CASE WHEN i % 5 = 4 THEN 1700000000000000 + i END, i % 1500 = 0, i % 7 = 0,
         CASE WHEN i % 3 = 0 THEN 'Title ' || i * 31 % 1000 END, 'opening ' || i,
         'opening ' || i, 'preview', 'preview',
         CASE WHEN i % 2 = 0 THEN '["often"]' WHEN i % 501 = 0 THEN '["rarely"]' ELSE '[]' END
    FROM generate_series(0, $3::integer - 1) AS i
  RETURNING owner, agent_id, session_id, line, n, tags, head_id
), started AS (
  INSERT INTO mythline.lines (owner, agent_id, session_id, line, indexed)
  SELECT owner, agent_id, session_id, line, 2 FROM s
), tagged AS (
  INSERT INTO mythline.tags (owner, agent_id, session_id, n, tag)
  SELECT owner, agent_id, session_id, n, tags::jsonb ->> 0 FROM s WHERE tags <> '[]'
  UNION ALL
  SELECT owner, agent_id, session_id, n, 'tag ' || n * i % 40 FROM s, generate_series(1, 3) AS i
  ON CONFLICT DO NOTHING
), branched AS (
  INSERT INTO mythline.branches
         (owner, agent_id, session_id, n, ord, entry_id, home, line, place)
  SELECT owner, agent_id, session_id, n, 1, head_id, session_id, line, 1 FROM s WHERE line % 10 = 0
), repeated AS (
  INSERT INTO mythline.repeats
         (owner, agent_id, session_id, n, key, digest, saved, revision, message_count, entry_ids)
  SELECT owner, agent_id, session_id, n, 'key', '', extract(epoch FROM now())::bigint * 1000000,
         'r', 2, '{}'
    FROM s WHERE line % 10 = 0
)
INSERT INTO mythline.entries (owner, agent_id, session_id, line, place, odd, total, entry_id, body)
SELECT owner, agent_id, session_id, line, place, false, 100 * (place + 1),
       owner || '-' || agent_id || substr(session_id, 8) || '-' || place,
       convert_to('{"kind":"request","parts":[{"part_kind":"user-prompt","content":"'
                  || repeat('x', 40) || '"}]}', 'UTF8')
  FROM s, generate_series(0, 1) AS place
"""


async def fill(dsn: str) -> None:
    """An empty database: `SESSIONS` each of two owners and none, and some of other agents.

    All are in the search index, so that nothing is done beside the tests; statistics are made.
    """
    await PostgresStore(dsn).migrate()
    connection: asyncpg.Connection[Any] = await asyncpg.connect(dsn)
    try:
        for owner in ("", "alice", "bob"):
            await connection.execute(_FILL, owner, "agent", SESSIONS)
            await connection.execute(_FILL, owner, "other", SESSIONS // 10)
        await connection.execute(
            "INSERT INTO mythline.documents "
            "(owner, agent_id, session_id, line, place, said, whole, words) "
            "SELECT owner, agent_id, session_id, line, place, 0, true, "
            "to_tsvector('simple', 'word' || line % 500) FROM mythline.entries"
        )
        await connection.execute("UPDATE mythline.search_state SET version = $1", search.VERSION)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
