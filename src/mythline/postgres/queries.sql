-- All SQL of the PostgreSQL store. The schema, with what its columns mean, is in migrations/.
--
-- `$1`, `$2`, `$3` are owner, agent and session wherever a session is asked for. What stands in
-- braces is one of the fragments at the end, or put in by lists.py.
--
-- Recursions have an end also where damaged lines lead in a circle: what a line follows has to come
-- before it (`fits`), and lines that follow one are taken once (UNION).

-- Sessions ------------------------------------------------------------------------------------

-- name: get
SELECT {details} FROM ({own}) AS s

-- name: get_shared
SELECT {details} FROM ({found}) AS s

-- The state of a session with its messages. Where either will do, one of the owner is looked for
-- first: to look for both takes longer, and hardly ever finds the other.
-- name: load
WITH RECURSIVE s AS ({own}), {loaded}

-- name: load_shared
WITH RECURSIVE s AS ({found}), {loaded}

-- The messages of the history, or its last `$4`: rows in any order, each with up to 32 messages of
-- a line, with commas between, the number in the history of the first place that they may have,
-- whether one of them is odd, and how many there are. One row has the state.
-- A long history in one value would be copied again and again on its way; a row for each message
-- would be many for a driver. The limit is none: it tells the planner that lines aren't long.
-- name: loaded
{part}
SELECT {state}, part.base + step.n * 32 AS start, read.bodies, read.is_odd, read.there
  FROM s AS whose CROSS JOIN part
  LEFT JOIN LATERAL (
    SELECT n FROM generate_series(
      greatest(whose.message_count - $4::integer - part.base, 0) / 32, (part.length - 1) / 32
    ) AS n
     LIMIT part.length + 1
  ) AS step ON true
  LEFT JOIN LATERAL (
    SELECT string_agg(body, ',') AS bodies, bool_or(odd) AS is_odd, count(*) AS there FROM (
      SELECT body, odd FROM mythline.entries AS e
       WHERE e.owner = whose.owner AND e.agent_id = whose.agent_id
         AND e.session_id = part.home AND e.line = part.line AND e.place < part.length
         AND e.place >= greatest(whose.message_count - $4::integer - part.base, step.n * 32)
         AND e.place < step.n * 32 + 32
       ORDER BY e.place
    ) AS those
  ) AS read ON true
  LEFT JOIN s ON s.line = part.line AND coalesce(step.n = (part.length - 1) / 32, true)

-- A page of a list; what the braces stand for is in lists.py.
-- name: page
SELECT {info} FROM {source}
 WHERE s.owner = $1 AND s.agent_id = $2 AND {condition}
 ORDER BY {order} LIMIT {limit}

-- name: count
SELECT count(*) FROM {source} WHERE s.owner = $1 AND s.agent_id = $2 AND {condition}

-- Whether a tag has more sessions than `$4`.
-- name: is_frequent
SELECT count(*) > $4::bigint AS is_frequent FROM (
  SELECT FROM mythline.tags WHERE owner = $1 AND agent_id = $2 AND tag = $3 LIMIT $4::bigint + 1
) AS few

-- name: records
SELECT {details} FROM mythline.sessions AS s
 WHERE s.owner = $1 AND s.agent_id = $2 AND s.deleted IS NULL
 ORDER BY s.updated DESC, s.n DESC LIMIT $3

-- name: records_shared
SELECT {details} FROM mythline.sessions AS s
 WHERE s.agent_id = $1 AND s.deleted IS NULL
   AND s.n IN (
     SELECT n FROM mythline.sessions WHERE owner = '' AND agent_id = $1 AND deleted IS NULL
     UNION ALL
     SELECT n FROM mythline.sessions WHERE agent_id = $1 AND deleted IS NULL AND shared_id)
 ORDER BY s.updated DESC, s.n DESC LIMIT $2

-- One jump of the index to each owner.
-- name: owners
WITH RECURSIVE each AS (
  (SELECT owner FROM mythline.sessions WHERE deleted IS NULL ORDER BY owner LIMIT 1)
  UNION ALL
  SELECT (SELECT s.owner FROM mythline.sessions AS s
           WHERE s.deleted IS NULL AND s.owner > each.owner ORDER BY s.owner LIMIT 1)
    FROM each WHERE each.owner IS NOT NULL
)
SELECT owner FROM each WHERE owner IS NOT NULL

-- One jump of the index to each agent.
-- name: agents
WITH RECURSIVE each AS (
  (SELECT agent_id FROM mythline.sessions WHERE owner = $1 AND deleted IS NULL
    ORDER BY agent_id LIMIT 1)
  UNION ALL
  SELECT (SELECT s.agent_id FROM mythline.sessions AS s
           WHERE s.owner = $1 AND s.deleted IS NULL AND s.agent_id > each.agent_id
           ORDER BY s.agent_id LIMIT 1)
    FROM each WHERE each.agent_id IS NOT NULL
)
SELECT agent_id,
       (SELECT count(*) FROM mythline.sessions AS s
         WHERE s.owner = $1 AND s.agent_id = each.agent_id AND s.deleted IS NULL) AS sessions,
       (SELECT max(updated) FROM mythline.sessions AS s
         WHERE s.owner = $1 AND s.agent_id = each.agent_id AND s.deleted IS NULL) AS updated
  FROM each WHERE agent_id IS NOT NULL

-- name: agents_of_trash
SELECT DISTINCT agent_id FROM mythline.sessions WHERE owner = $1 AND deleted IS NOT NULL

-- Histories -----------------------------------------------------------------------------------

-- A page of a history: how many of its messages come before, and those, in any order, with the
-- one before them. `$4` is a limit, `$5` and `$6` the entries before and after which it is. With
-- which message the page should end, and how many the ranges of the history have.
-- name: history
WITH RECURSIVE s AS ({own}), {part},
bound AS MATERIALIZED (
  SELECT CASE WHEN $6::text IS NULL THEN 0 ELSE 1 + {position_6} END AS low,
         CASE WHEN $5::text IS NULL THEN s.message_count ELSE {position_5} END AS high
    FROM s
),
page AS MATERIALIZED (
  SELECT low, high,
         CASE WHEN $4::integer IS NULL OR ($6::text IS NOT NULL AND $5::text IS NULL) THEN low
              ELSE greatest(low, high - $4) END AS first,
         CASE WHEN $4::integer IS NOT NULL AND $6::text IS NOT NULL AND $5::text IS NULL
              THEN least(high, low + $4) ELSE high END AS stop
    FROM bound
)
SELECT s.revision, s.described, s.message_count, page.low, page.high, page.first, page.stop,
       (SELECT max(base + length) FROM part) AS length, read.places, read.entry_ids, read.bodies
  FROM s, page LEFT JOIN LATERAL (
    SELECT array_agg(part.base + e.place) AS places, array_agg(e.entry_id) AS entry_ids,
           array_agg(CASE WHEN part.base + e.place >= page.first THEN e.body END) AS bodies
      FROM s, part, mythline.entries AS e
     WHERE e.owner = s.owner AND e.agent_id = s.agent_id AND e.session_id = part.home
       AND e.line = part.line AND e.place < part.length
       AND e.place >= page.first - 1 - part.base AND e.place < page.stop - part.base
  ) AS read ON true

-- The entry `$3` of an agent, for owner `$1`, if a living session of the owner reaches it; for no
-- owner also if one does that is found by its id alone. With how many messages lead to it, itself
-- included, and their bytes.
-- name: reachable
WITH RECURSIVE {reached}
SELECT reached.*, l.base + reached.place + 1 AS count
  FROM reached JOIN mythline.lines AS l
    ON l.owner = reached.owner AND l.agent_id = $2
   AND l.session_id = reached.home AND l.line = reached.line

-- The same with the entries that lead to it, itself the last; or the last `$4`.
-- name: line
WITH RECURSIVE {reached}, part AS (
  SELECT l.session_id AS home, l.line, reached.place + 1 AS length, l.base,
         l.follows_home, l.follows_line, l.follows_place, l.base + reached.place + 1 AS total
    FROM reached JOIN mythline.lines AS l
      ON l.owner = reached.owner AND l.agent_id = $2
     AND l.session_id = reached.home AND l.line = reached.line
  UNION ALL
  SELECT l.session_id, l.line, part.follows_place + 1, l.base,
         l.follows_home, l.follows_line, l.follows_place, part.total
    FROM part CROSS JOIN reached JOIN mythline.lines AS l
      ON l.owner = reached.owner AND l.agent_id = $2
     AND l.session_id = part.follows_home AND l.line = part.follows_line
   WHERE {fits} AND ($4::integer IS NULL OR part.base > part.total - $4 - 1)
)
SELECT reached.place, read.places, read.entry_ids, read.bodies
  FROM reached, LATERAL (
    SELECT array_agg(part.base + e.place) AS places, array_agg(e.entry_id) AS entry_ids,
           array_agg(e.body) AS bodies
      FROM part, mythline.entries AS e
     WHERE e.owner = reached.owner AND e.agent_id = $2 AND e.session_id = part.home
       AND e.line = part.line AND e.place < part.length
       AND ($4::integer IS NULL OR e.place >= part.total - $4 - 1 - part.base)
  ) AS read

-- Where entries are that a session's ends or asked-for ids name: `$3` their ids.
-- name: entries_by_id
SELECT e.entry_id, e.session_id AS home, e.line, e.place, e.total, l.follows_id,
       l.base + e.place + 1 AS count
  FROM mythline.entries AS e JOIN mythline.lines AS l USING (owner, agent_id, session_id, line)
 WHERE e.owner = $1 AND e.agent_id = $2 AND e.entry_id = ANY ($3::text[])

-- The end of a session's history: of its own line, or what that follows.
-- name: head
SELECT s.n, s.line, s.length, s.updated, l.follows_home, l.follows_line, l.follows_place
  FROM mythline.sessions AS s JOIN mythline.lines AS l USING (owner, agent_id, session_id, line)
 WHERE s.owner = $1 AND s.agent_id = $2 AND s.session_id = $3 AND s.deleted IS NULL

-- The ends of the branches of a session of number `$4`.
-- name: tips
SELECT b.entry_id, b.home, b.line, b.place, e.total, l.base + b.place + 1 AS count
  FROM mythline.branches AS b
  JOIN mythline.lines AS l ON l.owner = b.owner AND l.agent_id = b.agent_id
   AND l.session_id = b.home AND l.line = b.line
  LEFT JOIN mythline.entries AS e ON e.owner = b.owner AND e.agent_id = b.agent_id
   AND e.session_id = b.home AND e.line = b.line AND e.place = b.place
 WHERE b.owner = $1 AND b.agent_id = $2 AND b.session_id = $3 AND b.n = $4
 ORDER BY b.ord

-- The ranges of the histories that end with places (`$3` homes, `$4` lines, `$5` places), each
-- told by its number in the arrays.
-- name: segments
WITH RECURSIVE part AS (
  SELECT tip.ord::integer AS tip, l.session_id AS home, l.line, tip.place + 1 AS length, l.base,
         l.follows_home, l.follows_line, l.follows_place
    FROM unnest($3::text[], $4::bigint[], $5::integer[]) WITH ORDINALITY
         AS tip (home, line, place, ord)
    JOIN mythline.lines AS l
      ON l.owner = $1 AND l.agent_id = $2 AND l.session_id = tip.home AND l.line = tip.line
  UNION ALL
  SELECT part.tip, l.session_id, l.line, part.follows_place + 1, l.base,
         l.follows_home, l.follows_line, l.follows_place
    FROM part JOIN mythline.lines AS l
      ON l.owner = $1 AND l.agent_id = $2
     AND l.session_id = part.follows_home AND l.line = part.follows_line AND {fits}
)
SELECT tip, home, line, length, base, follows_home, follows_line, follows_place
  FROM part ORDER BY tip, base DESC

-- Entries in ranges of lines (`$3` homes, `$4` lines, `$5` from, `$6` up to, exclusive), each
-- told by the number of its range.
-- name: entries
SELECT span.ord::integer AS span, e.place, e.entry_id, e.body
  FROM unnest($3::text[], $4::bigint[], $5::integer[], $6::integer[]) WITH ORDINALITY
       AS span (home, line, low, high, ord)
  JOIN mythline.entries AS e
    ON e.owner = $1 AND e.agent_id = $2 AND e.session_id = span.home AND e.line = span.line
   AND e.place >= span.low AND e.place < span.high

-- Saves ---------------------------------------------------------------------------------------

-- A turn after the head: entries `$9` to `$12` (ids, bodies, which are odd, the bytes up to each),
-- if `$4` has the stored revision, or is NULL. Without a row nothing was stored.
-- name: append
WITH s AS (
  UPDATE mythline.sessions AS s
     SET revision = $5, described = NULL, updated = $6,
         before_id = head_id, head_id = $7, length = length + $8::integer,
         message_count = message_count + $8::integer, body_bytes = body_bytes + $13::bigint,
         opening = CASE WHEN opening = '' THEN $14 ELSE opening END,
         title_folded = CASE WHEN opening = '' AND title IS NULL THEN $15 ELSE title_folded END,
         preview = CASE WHEN $16 = '' THEN preview ELSE $16 END,
         preview_folded = CASE WHEN $16 = '' THEN preview_folded ELSE $17 END,
         usage = coalesce($18::bytea, usage), deferred = $19::bytea, unindexed = true
   WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND deleted IS NULL
     AND ($4::text[] IS NULL OR revision = ANY ($4::text[]))
  RETURNING owner, agent_id, session_id, n, line, length, message_count, body_bytes, before_id,
            revision
), entered AS (
  INSERT INTO mythline.entries
         (owner, agent_id, session_id, line, place, odd, total, entry_id, body)
  SELECT s.owner, s.agent_id, s.session_id, s.line, s.length - $8::integer + e.ord - 1, e.odd,
         s.body_bytes - $13::bigint + e.total, e.entry_id, e.body
    FROM s, unnest($9::text[], $10::bytea[], $11::boolean[], $12::bigint[]) WITH ORDINALITY
         AS e (entry_id, body, odd, total, ord)
), remembered AS (
  INSERT INTO mythline.repeats
         (owner, agent_id, session_id, n, key, digest, saved, revision, message_count, entry_ids)
  SELECT owner, agent_id, session_id, n, $20, $21, $6, $5, message_count, $9
    FROM s WHERE $20::text IS NOT NULL
), noted AS (
  {into_events} SELECT s.owner, s.agent_id, s.session_id, {number}, 'appended', s.revision, $22
    FROM s, mythline.event_numbers AS last
)
SELECT message_count, before_id FROM s

-- What an append with an Idempotency-Key stored before.
-- name: repeated
SELECT r.* FROM mythline.repeats AS r JOIN mythline.sessions USING (owner, agent_id, session_id, n)
 WHERE r.owner = $1 AND r.agent_id = $2 AND r.session_id = $3 AND deleted IS NULL
   AND r.key = $4

-- name: forget_repeats
DELETE FROM mythline.repeats WHERE saved <= $1

-- name: forget_repeat
DELETE FROM mythline.repeats
 WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND key = $4 AND saved <= $5

-- A session with its first messages, if it has any.
-- name: create
WITH {made}, entered AS (
  INSERT INTO mythline.entries
         (owner, agent_id, session_id, line, place, odd, total, entry_id, body)
  SELECT s.owner, s.agent_id, s.session_id, s.line, e.ord - 1, e.odd, e.total, e.entry_id, e.body
    FROM s, unnest($25::text[], $26::bytea[], $27::boolean[], $28::bigint[]) WITH ORDINALITY
         AS e (entry_id, body, odd, total, ord)
), noted AS (
  {into_events} SELECT s.owner, s.agent_id, s.session_id, {number}, 'created', s.revision, $29
    FROM s, mythline.event_numbers AS last
)
SELECT n FROM s

-- An empty session of which the transaction makes more.
-- name: make
WITH {made} SELECT n FROM s

-- Whether an ownerless caller finds a session of `$1`, an agent, by the id `$2` alone.
-- name: id_is_taken
SELECT 1 FROM mythline.sessions
 WHERE owner = '' AND agent_id = $1 AND session_id = $2 AND deleted IS NULL
UNION ALL
SELECT 1 FROM mythline.sessions
 WHERE agent_id = $1 AND session_id = $2 AND deleted IS NULL AND shared_id

-- A session, and nobody else changes it before the end of the transaction.
-- name: hold
SELECT {details}, s.line, s.length, s.shared_id, s.opening
  FROM mythline.sessions AS s
 WHERE s.owner = $1 AND s.agent_id = $2 AND s.session_id = $3 AND s.deleted IS NULL
   FOR UPDATE OF s

-- A line, of which nothing is removed before the end of the transaction.
-- name: hold_line
SELECT base, follows_home, follows_line, follows_place, follows_id FROM mythline.lines
 WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND line = $4 FOR SHARE

-- name: entry_there
SELECT 1 FROM mythline.entries
 WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND line = $4 AND place = $5

-- name: add_line
INSERT INTO mythline.lines
       (owner, agent_id, session_id, line, base, follows_home, follows_line, follows_place,
        follows_id)
VALUES ($1, $2, $3, nextval('mythline.numbers'), $4, $5, $6, $7, $8)
RETURNING line

-- name: move_line
UPDATE mythline.lines
   SET base = $5, follows_home = $6, follows_line = $7, follows_place = $8, follows_id = $9
 WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND line = $4

-- name: add_entries
INSERT INTO mythline.entries (owner, agent_id, session_id, line, place, odd, total, entry_id, body)
SELECT $1, $2, $3, $4, $5::integer + e.ord - 1, e.odd, e.total, e.entry_id, e.body
  FROM unnest($6::text[], $7::bytea[], $8::boolean[], $9::bigint[]) WITH ORDINALITY
       AS e (entry_id, body, odd, total, ord)

-- Nobody else copies entries for this owner and agent before the end of the transaction.
-- name: hold_copies
SELECT pg_advisory_xact_lock(hashtext($1), hashtext($2))

-- The entries that lead to one of another owner (`$4`, `$5` home, `$6` line, `$7` place), copied to
-- a line (`$8`) of a session, from the `$9`th on; how many they were.
-- name: copy_entries
WITH RECURSIVE part AS (
  SELECT l.session_id AS home, l.line, $7::integer + 1 AS length, l.base,
         l.follows_home, l.follows_line, l.follows_place
    FROM mythline.lines AS l
   WHERE l.owner = $4 AND l.agent_id = $2 AND l.session_id = $5 AND l.line = $6
  UNION ALL
  SELECT l.session_id, l.line, part.follows_place + 1, l.base,
         l.follows_home, l.follows_line, l.follows_place
    FROM part JOIN mythline.lines AS l
      ON l.owner = $4 AND l.agent_id = $2
     AND l.session_id = part.follows_home AND l.line = part.follows_line AND {fits}
), copied AS (
  INSERT INTO mythline.entries
         (owner, agent_id, session_id, line, place, odd, total, entry_id, body)
  SELECT $1, $2, $3, $8, part.base + e.place - $9::integer, e.odd, e.total, e.entry_id, e.body
    FROM part JOIN mythline.entries AS e
      ON e.owner = $4 AND e.agent_id = $2 AND e.session_id = part.home AND e.line = part.line
     AND e.place < part.length AND part.base + e.place >= $9::integer
  RETURNING place
)
SELECT count(*) AS copied FROM copied

-- Of the entries that lead to one of another owner (`$1`, agent `$2`, `$3` home, `$4` line, `$5`
-- place), the last that owner `$6` has as well.
-- name: common
WITH RECURSIVE part AS (
  SELECT l.session_id AS home, l.line, $5::integer + 1 AS length, l.base,
         l.follows_home, l.follows_line, l.follows_place
    FROM mythline.lines AS l
   WHERE l.owner = $1 AND l.agent_id = $2 AND l.session_id = $3 AND l.line = $4
  UNION ALL
  SELECT l.session_id, l.line, part.follows_place + 1, l.base,
         l.follows_home, l.follows_line, l.follows_place
    FROM part JOIN mythline.lines AS l
      ON l.owner = $1 AND l.agent_id = $2
     AND l.session_id = part.follows_home AND l.line = part.follows_line AND {fits}
)
SELECT other.entry_id, other.session_id AS home, other.line, other.place, other.total,
       part.base + e.place + 1 AS count
  FROM part
  JOIN mythline.entries AS e
    ON e.owner = $1 AND e.agent_id = $2 AND e.session_id = part.home AND e.line = part.line
   AND e.place < part.length
  JOIN mythline.entries AS other
    ON other.entry_id = e.entry_id AND other.owner = $6 AND other.agent_id = $2
 ORDER BY count DESC LIMIT 1

-- name: set_history
UPDATE mythline.sessions
   SET revision = $5, described = NULL, line = $6, length = $7, before_id = head_id, head_id = $8,
       message_count = $9, body_bytes = $10, updated = $11, opening = $12, title_folded = $13,
       preview = $14, preview_folded = $15, usage = $16, deferred = $17, forked_from = $18,
       forked_at = $19, unindexed = true
 WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND n = $4

-- name: drop_branches
DELETE FROM mythline.branches WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND n = $4

-- name: add_branches
INSERT INTO mythline.branches
       (owner, agent_id, session_id, n, ord, entry_id, home, line, place)
SELECT $1, $2, $3, $4, tip.ord, tip.entry_id, tip.home, tip.line, tip.place
  FROM unnest($5::text[], $6::text[], $7::bigint[], $8::integer[]) WITH ORDINALITY
       AS tip (entry_id, home, line, place, ord)

-- name: describe
UPDATE mythline.sessions
   SET described = $5, title = $6, title_folded = $7, tags = $8, pinned = $9, archived = $10,
       metadata = $11
 WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND n = $4

-- name: drop_tags
DELETE FROM mythline.tags WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND n = $4

-- name: add_tags
INSERT INTO mythline.tags (owner, agent_id, session_id, n, tag)
SELECT $1, $2, $3, $4, tag FROM unnest($5::text[]) AS tag

-- Trash ---------------------------------------------------------------------------------------

-- A session to the trash, if `$5` is NULL or its revision with the mark of its description.
-- name: delete
WITH s AS (
  UPDATE mythline.sessions
     SET deleted = $4
   WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND deleted IS NULL
     AND ($5::text IS NULL OR $5 = revision || coalesce('.' || described, ''))
  RETURNING owner, agent_id, session_id
), noted AS (
  {into_events} SELECT s.owner, s.agent_id, s.session_id, {number}, 'deleted', NULL, $4
    FROM s, mythline.event_numbers AS last
)
SELECT session_id FROM s

-- Some sessions to the trash: their numbers are in `$4`.
-- name: delete_some
WITH s AS (
  UPDATE mythline.sessions
     SET deleted = $3
   WHERE owner = $1 AND agent_id = $2 AND n = ANY ($4::bigint[]) AND session_id = ANY ($5::text[])
     AND deleted IS NULL
  RETURNING owner, agent_id, session_id
), noted AS (
  {into_events} SELECT s.owner, s.agent_id, s.session_id, {number}, 'deleted', NULL, $3
    FROM s, mythline.event_numbers AS last
)
SELECT session_id FROM s

-- name: living
SELECT session_id, n FROM mythline.sessions
 WHERE owner = $1 AND agent_id = $2 AND deleted IS NULL

-- Deleted sessions with an id, the last deleted first.
-- name: deleted
SELECT {details}, s.line, s.length, s.shared_id
  FROM mythline.sessions AS s
 WHERE s.owner = $1 AND s.agent_id = $2 AND s.session_id = $3 AND s.deleted IS NOT NULL
 ORDER BY s.deleted DESC, s.n DESC
   FOR UPDATE OF s

-- name: trash
SELECT session_id, n FROM mythline.sessions
 WHERE owner = $1 AND agent_id = $2 AND deleted IS NOT NULL AND deleted < $3

-- name: expired
SELECT owner, agent_id, session_id, n FROM mythline.sessions
 WHERE deleted IS NOT NULL AND deleted < $1 ORDER BY deleted LIMIT $2

-- name: restore
UPDATE mythline.sessions SET deleted = NULL, session_id = $5, line = $6, length = $7
 WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND n = $4

-- A session that is to be purged; a living one only with `$5`.
-- name: purged
SELECT line, length FROM mythline.sessions
 WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND n = $4
   AND ($5 OR deleted IS NOT NULL)
   FOR UPDATE

-- name: drop_session
DELETE FROM mythline.sessions WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND n = $4

-- name: hold_line_alone
SELECT follows_home, follows_line FROM mythline.lines
 WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND line = $4 FOR UPDATE

-- Of a line, the entries after the last that a session (deleted ones count: they can be restored), a
-- branch or another line needs; which that is: -1 if only the line itself is needed, NULL if nothing
-- is. One statement, which sees what is needed and what is there at the same moment: a session that
-- goes on in its line doesn't wait for who holds it.
-- name: drop_unneeded
WITH last AS MATERIALIZED (
  SELECT max(needed) AS needed FROM (
    SELECT length - 1 AS needed FROM mythline.sessions
     WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND line = $4
    UNION ALL
    SELECT max(place) FROM mythline.branches
     WHERE owner = $1 AND agent_id = $2 AND home = $3 AND line = $4
    UNION ALL
    SELECT max(follows_place) FROM mythline.lines
     WHERE owner = $1 AND agent_id = $2 AND follows_home = $3 AND follows_line = $4
  ) AS each
), gone AS (
  DELETE FROM mythline.entries
   WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND line = $4
     AND place > (SELECT coalesce(needed, -1) FROM last)
)
SELECT needed FROM last

-- name: drop_line
DELETE FROM mythline.lines WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND line = $4

-- Searches ------------------------------------------------------------------------------------

-- The first `$12` documents that match `$2`, an expression or several, best first, after rank `$3`,
-- line `$4` and place `$5`; and of these the first `$6` that a living session has, with the one that
-- each is shown in: one that has the entry in its history rather than in a branch, and the one made
-- first. `$7` and `$8` are times, `$9` and `$10` what the session must be, `$11` the bytes of
-- messages that come along. Sessions are looked up one after the other, until the page is full.
-- Each row tells as well how many matched, and where the last one is; without hits it tells only
-- that.
-- name: matching
WITH RECURSIVE {few} matching AS MATERIALIZED (
  SELECT * FROM (
    SELECT d.agent_id, d.session_id, d.line, d.place, d.whole,
           ts_rank(d.words, {source} AND d.owner = $1 {among}
       AND d.said >= $7::bigint AND d.said < $8::bigint
    OFFSET 0
  ) AS ranked
   WHERE (rank, line, place) < ($3::real, $4::bigint, $5::integer)
   ORDER BY rank DESC, line DESC, place DESC LIMIT $12
), page AS (
  SELECT s.agent_id, s.session_id, s.title, s.opening, s.updated, s.is_current,
         d.rank, d.session_id AS home, d.line, d.place, d.whole,
         e.entry_id, e.body, octet_length(e.body) AS size
    FROM matching AS d
    CROSS JOIN LATERAL ({having}) AS s
    CROSS JOIN LATERAL (
      SELECT entry_id, body FROM mythline.entries AS e
       WHERE e.owner = $1 AND e.agent_id = d.agent_id AND e.session_id = d.session_id
         AND e.line = d.line AND e.place = d.place
      OFFSET 0
    ) AS e
   LIMIT $6
), last AS (
  SELECT rank AS last_rank, line AS last_line, place AS last_place,
         (SELECT count(*) FROM matching) AS matches
    FROM matching ORDER BY rank, line, place LIMIT 1
)
SELECT last.*, agent_id, session_id, title, opening, updated, is_current,
       rank, home, line, place, whole, entry_id, size,
       CASE WHEN sum(size) OVER (ORDER BY rank DESC, line DESC, place DESC) <= $11::bigint
            THEN body END AS body
  FROM last LEFT JOIN page ON true
 ORDER BY rank DESC, line DESC, place DESC

-- Messages: `$2` their agents, `$3` homes, `$4` lines, `$5` places.
-- name: bodies
SELECT asked.ord::integer AS ord, e.body
  FROM unnest($2::text[], $3::text[], $4::bigint[], $5::integer[]) WITH ORDINALITY
       AS asked (agent_id, home, line, place, ord)
  JOIN mythline.entries AS e
    ON e.owner = $1 AND e.agent_id = asked.agent_id AND e.session_id = asked.home
   AND e.line = asked.line AND e.place = asked.place

-- The version of the words, the places of an owner, and whether anything of it is marked.
-- name: search_state
SELECT version,
       (SELECT s.n FROM mythline.sessions AS s WHERE s.unindexed AND s.deleted IS NULL AND {whose}
         ORDER BY s.owner, s.agent_id, s.n LIMIT 1) IS NOT NULL AS is_behind,
       ARRAY(SELECT s.number FROM mythline.places AS s WHERE {whose} ORDER BY s.number) AS places,
       ARRAY(SELECT s.agent_id FROM mythline.places AS s WHERE {whose} ORDER BY s.number) AS agents
  FROM mythline.search_state WHERE $1::bigint IS NULL

-- Some marked sessions, but for those of the numbers `$1`; and the lines of their histories and
-- branches that aren't indexed as far as they have them. What an indexed line follows is.
-- name: behind
WITH RECURSIVE s AS (
  SELECT owner, agent_id, session_id, n, revision, line, length FROM mythline.sessions AS s
   WHERE s.unindexed AND s.deleted IS NULL AND s.n <> ALL ($1::bigint[]) AND {whose}
   ORDER BY s.owner, s.agent_id, s.n LIMIT {sessions_at_once}
), part AS (
  (
    SELECT s.n, s.owner, s.agent_id, s.session_id AS home, s.line, s.length FROM s
    UNION ALL
    SELECT s.n, b.owner, b.agent_id, b.home, b.line, b.place + 1
      FROM s JOIN mythline.branches AS b USING (owner, agent_id, session_id, n)
  )
  UNION
  SELECT part.n, l.owner, l.agent_id, l.follows_home, l.follows_line, l.follows_place + 1
    FROM part JOIN mythline.lines AS l
      ON l.owner = part.owner AND l.agent_id = part.agent_id
     AND l.session_id = part.home AND l.line = part.line
   WHERE l.indexed = 0 AND l.follows_line IS NOT NULL
), missing AS (
  SELECT part.n, part.home, part.line, max(part.length) AS length, l.base, l.indexed
    FROM part JOIN mythline.lines AS l
      ON l.owner = part.owner AND l.agent_id = part.agent_id
     AND l.session_id = part.home AND l.line = part.line
   WHERE l.indexed < part.length
   GROUP BY part.n, part.home, part.line, l.base, l.indexed
)
SELECT s.owner, s.agent_id, s.session_id, s.n, s.revision,
       missing.home, missing.line, missing.length, missing.base, missing.indexed, p.number
  FROM s LEFT JOIN missing USING (n)
  LEFT JOIN mythline.places AS p ON p.owner = s.owner AND p.agent_id = s.agent_id

-- name: add_places
INSERT INTO mythline.places (owner, agent_id)
SELECT owner, agent_id FROM unnest($1::text[], $2::text[]) AS new (owner, agent_id)
 WHERE NOT EXISTS (SELECT FROM mythline.places AS p
                    WHERE p.owner = new.owner AND p.agent_id = new.agent_id)
ON CONFLICT DO NOTHING

-- name: places
SELECT owner, agent_id, number
  FROM mythline.places JOIN unnest($1::text[], $2::text[]) AS asked (owner, agent_id)
 USING (owner, agent_id)

-- Entries in ranges of lines, each told by the number of its range, and the bytes up to it; at
-- least one, and no more once there are `$7` bytes.
-- name: new_entries
SELECT * FROM (
  SELECT span.ord::integer AS span, e.place, e.entry_id, e.body,
         sum(octet_length(e.body)) OVER (ORDER BY span.ord, e.place) AS upto
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::integer[], $6::integer[])
         WITH ORDINALITY AS span (owner, agent_id, home, line, low, high, ord)
    JOIN mythline.entries AS e
      ON e.owner = span.owner AND e.agent_id = span.agent_id AND e.session_id = span.home
     AND e.line = span.line AND e.place >= span.low AND e.place < span.high
) AS each
 WHERE upto - octet_length(body) < $7::bigint
 ORDER BY span, place

-- Documents (`$7` the number of the range, `$8` places, `$9` times, `$10` words, `$11` whether all
-- of them) of ranges of lines (`$1` to `$6`), of those that are indexed up to where the range
-- begins, and whose entries are still there. Which lines, and up to where they are indexed now.
-- name: add_documents
WITH held AS MATERIALIZED (
  SELECT l.owner, l.agent_id, l.session_id, l.line, span.high, span.ord
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::integer[], $6::integer[])
         WITH ORDINALITY AS span (owner, agent_id, home, line, low, high, ord)
    JOIN mythline.lines AS l
      ON l.owner = span.owner AND l.agent_id = span.agent_id AND l.session_id = span.home
     AND l.line = span.line AND l.indexed = span.low
   ORDER BY l.line
     FOR NO KEY UPDATE OF l
), there AS MATERIALIZED (
  SELECT e.owner, e.agent_id, e.session_id, e.line, e.place, made.said, made.words, made.whole
    FROM unnest($7::integer[], $8::integer[], $9::bigint[], $10::text[], $11::boolean[])
         AS made (span, place, said, words, whole)
    JOIN held ON held.ord = made.span
    JOIN mythline.entries AS e
      ON e.owner = held.owner AND e.agent_id = held.agent_id AND e.session_id = held.session_id
     AND e.line = held.line AND e.place = made.place
   ORDER BY e.line, e.place
     FOR KEY SHARE OF e
), added AS (
  INSERT INTO mythline.documents
         (owner, agent_id, session_id, line, place, said, words, whole)
  SELECT owner, agent_id, session_id, line, place, said, words::tsvector, whole FROM there
  ON CONFLICT DO NOTHING
)
UPDATE mythline.lines AS l SET indexed = held.high FROM held
 WHERE l.owner = held.owner AND l.agent_id = held.agent_id AND l.session_id = held.session_id
   AND l.line = held.line
RETURNING l.owner, l.agent_id, l.session_id, l.line, l.indexed

-- Take the mark from sessions (`$1` to `$4`) that still have the revisions `$5`, and that nobody
-- changes at this moment.
-- name: set_indexed
WITH held AS MATERIALIZED (
  SELECT s.owner, s.agent_id, s.session_id, s.n
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])
         AS done (owner, agent_id, session_id, n, revision)
    JOIN mythline.sessions AS s
      ON s.owner = done.owner AND s.agent_id = done.agent_id AND s.session_id = done.session_id
     AND s.n = done.n AND s.revision = done.revision
     FOR NO KEY UPDATE OF s SKIP LOCKED
)
UPDATE mythline.sessions AS s SET unindexed = false FROM held
 WHERE s.owner = held.owner AND s.agent_id = held.agent_id AND s.session_id = held.session_id
   AND s.n = held.n
RETURNING s.n

-- name: search_version
SELECT version FROM mythline.search_state

-- name: hold_search
SELECT version FROM mythline.search_state FOR UPDATE

-- name: set_search_version
UPDATE mythline.search_state SET version = $1

-- name: may_truncate
SELECT has_table_privilege('mythline.documents', 'TRUNCATE') AS may

-- Waits for all who add to it.
-- name: drop_documents
TRUNCATE mythline.documents

-- The same for a user who may change rows alone; slower, if there are many.
-- name: hold_documents
LOCK TABLE mythline.documents IN SHARE ROW EXCLUSIVE MODE

-- name: delete_documents
DELETE FROM mythline.documents

-- name: unindex_lines
UPDATE mythline.lines SET indexed = 0 WHERE indexed > 0

-- name: unindex_sessions
UPDATE mythline.sessions SET unindexed = true WHERE NOT unindexed

-- Indexed entries without a document, and documents of entries that are not indexed.
-- name: odd_documents
SELECT count(*) AS odd
  FROM mythline.lines AS l
  JOIN mythline.entries AS e USING (owner, agent_id, session_id, line)
  LEFT JOIN mythline.documents AS d USING (owner, agent_id, session_id, line, place)
 WHERE (e.place < l.indexed) <> (d.line IS NOT NULL)

-- Lines of histories and branches that are not indexed though their sessions aren't marked.
-- name: not_indexed
WITH RECURSIVE part AS (
  (
    SELECT owner, agent_id, session_id AS home, line, length
      FROM mythline.sessions WHERE deleted IS NULL AND NOT unindexed
    UNION ALL
    SELECT b.owner, b.agent_id, b.home, b.line, b.place + 1
      FROM mythline.sessions AS s
      JOIN mythline.branches AS b USING (owner, agent_id, session_id, n)
     WHERE s.deleted IS NULL AND NOT s.unindexed
  )
  UNION
  SELECT l.owner, l.agent_id, l.follows_home, l.follows_line, l.follows_place + 1
    FROM part JOIN mythline.lines AS l
      ON l.owner = part.owner AND l.agent_id = part.agent_id
     AND l.session_id = part.home AND l.line = part.line
   WHERE l.follows_line IS NOT NULL
)
SELECT count(*) AS lines
  FROM part JOIN mythline.lines AS l
    ON l.owner = part.owner AND l.agent_id = part.agent_id
   AND l.session_id = part.home AND l.line = part.line
 WHERE l.indexed < part.length

-- Leases --------------------------------------------------------------------------------------

-- Hold a session under a token, `$4`, for `$5` seconds, unless another lease stands that isn't
-- one of the tokens `$6`. Without a row it is held by another.
-- name: take_lease
INSERT INTO mythline.leases AS l (owner, agent_id, session_id, token, until)
VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5))
    ON CONFLICT (owner, agent_id, session_id) DO UPDATE
   SET token = excluded.token, until = excluded.until
 WHERE l.until < now() OR l.token = ANY ($6::text[])
RETURNING token

-- name: renew_lease
UPDATE mythline.leases SET until = now() + make_interval(secs => $5)
 WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND token = $4
RETURNING token

-- name: drop_lease
DELETE FROM mythline.leases
 WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND token = $4

-- Events --------------------------------------------------------------------------------------

-- An event on its own, of type `$4` with revision `$5` at `$6`.
-- name: note
{into_events} SELECT $1, $2, $3, {number}, $4, $5, $6 FROM mythline.event_numbers AS last

-- The event up to which all are known, or will never be: see events.py. Read before the events.
-- With the last number that was given; it goes back only where a server lost what it had.
-- name: events_known
SELECT least(
         (SELECT last_value - (NOT is_called)::integer FROM mythline.event_numbers),
         (SELECT min(((classid::bigint & 65535) << 32) | objid::bigint) FROM pg_locks
           WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint >> 16 = {lock_space}
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
       ) AS known,
       (SELECT last_value - (NOT is_called)::integer FROM mythline.event_numbers) AS given,
       (SELECT n FROM mythline.events_dropped) AS dropped

-- name: events
SELECT n, agent_id, session_id, type, revision, time FROM mythline.events
 WHERE owner = $1 AND n > $2 AND n <= $3 AND ($4::text IS NULL OR agent_id = $4)
 ORDER BY n LIMIT $5

-- name: notify
SELECT pg_notify('mythline', '')

-- Events before `$1`, but for the last `$2` of them.
-- name: drop_events
WITH gone AS (
  DELETE FROM mythline.events
   WHERE time < $1 AND n <= (SELECT last_value FROM mythline.event_numbers) - $2
  RETURNING n
)
UPDATE mythline.events_dropped SET n = greatest(n, (SELECT max(n) FROM gone))
 WHERE EXISTS (SELECT FROM gone)

-- Checks --------------------------------------------------------------------------------------

-- The next `$5` sessions after a place and number, deleted ones as well: each with the ranges of
-- its history (`ord` is NULL) and of its branches, the newest first, up to the one that doesn't
-- follow. Of each range, how many of its entries are there, their bytes, the id of the last, and
-- how much the bytes that are noted to lead to each differ from those of the range. What a session
-- has beside its messages is in its first row alone.
-- name: check_sessions
WITH RECURSIVE s AS (
  SELECT * FROM mythline.sessions
   WHERE (owner, agent_id, session_id, n) > ($1, $2, $3, $4::bigint)
   ORDER BY owner, agent_id, session_id, n LIMIT $5
), part AS (
  SELECT s.owner, s.agent_id, s.n, NULL::integer AS ord, 0 AS depth,
         s.session_id AS home, s.line, s.length, l.base,
         l.follows_home, l.follows_line, l.follows_place, l.line IS NOT NULL AS fits
    FROM s LEFT JOIN mythline.lines AS l
      ON l.owner = s.owner AND l.agent_id = s.agent_id
     AND l.session_id = s.session_id AND l.line = s.line
  UNION ALL
  SELECT s.owner, s.agent_id, s.n, b.ord, 0, b.home, b.line, b.place + 1, l.base,
         l.follows_home, l.follows_line, l.follows_place, l.line IS NOT NULL
    FROM s JOIN mythline.branches AS b
      ON b.owner = s.owner AND b.agent_id = s.agent_id
     AND b.session_id = s.session_id AND b.n = s.n
    LEFT JOIN mythline.lines AS l
      ON l.owner = b.owner AND l.agent_id = b.agent_id
     AND l.session_id = b.home AND l.line = b.line
  UNION ALL
  SELECT part.owner, part.agent_id, part.n, part.ord, part.depth + 1,
         part.follows_home, part.follows_line, part.follows_place + 1, l.base,
         l.follows_home, l.follows_line, l.follows_place,
         coalesce(part.follows_place >= 0 AND l.base + part.follows_place + 1 = part.base, false)
    FROM part LEFT JOIN mythline.lines AS l
      ON l.owner = part.owner AND l.agent_id = part.agent_id
     AND l.session_id = part.follows_home AND l.line = part.follows_line
   WHERE part.fits AND part.follows_line IS NOT NULL
)
SELECT s.owner, s.agent_id, s.session_id, s.n, s.message_count, s.body_bytes, s.head_id, s.tags,
       CASE WHEN part.ord IS NULL AND part.depth = 0 THEN s.metadata END AS metadata,
       CASE WHEN part.ord IS NULL AND part.depth = 0 THEN s.usage END AS usage,
       CASE WHEN part.ord IS NULL AND part.depth = 0 THEN s.deferred END AS deferred,
       ARRAY(SELECT t.tag FROM mythline.tags AS t
              WHERE t.owner = s.owner AND t.agent_id = s.agent_id
                AND t.session_id = s.session_id AND t.n = s.n) AS tags_there,
       part.ord, part.home, part.line, part.length, part.base, part.fits,
       part.follows_line IS NOT NULL AS follows, there.*, last.entry_id AS end_id
  FROM s JOIN part ON part.owner = s.owner AND part.agent_id = s.agent_id AND part.n = s.n
 CROSS JOIN LATERAL (
   SELECT count(*) AS there, coalesce(sum(bytes), 0)::bigint AS bytes,
          min(total - sofar)::bigint AS least, max(total - sofar)::bigint AS most
     FROM (
       SELECT e.total, octet_length(e.body) AS bytes,
              sum(octet_length(e.body)) OVER (ORDER BY e.place) AS sofar
         FROM mythline.entries AS e
        WHERE e.owner = part.owner AND e.agent_id = part.agent_id AND e.session_id = part.home
          AND e.line = part.line AND e.place >= 0 AND e.place < part.length
     ) AS each
 ) AS there
  LEFT JOIN mythline.entries AS last
    ON last.owner = part.owner AND last.agent_id = part.agent_id AND last.session_id = part.home
   AND last.line = part.line AND last.place = part.length - 1
 ORDER BY s.owner, s.agent_id, s.session_id, s.n, part.ord NULLS FIRST, part.depth

-- A session of number `$4`, deleted or not; nobody changes it before the end of the transaction.
-- name: hold_any
SELECT 1 FROM mythline.sessions
 WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND n = $4 FOR UPDATE

-- name: recount
UPDATE mythline.sessions SET message_count = $5, body_bytes = $6, head_id = $7
 WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND n = $4

-- name: reset
UPDATE mythline.sessions SET tags = $5, metadata = $6, usage = $7, deferred = $8
 WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND n = $4

-- The bytes that lead to each of the first `$5` entries of a line, which come after `$6` bytes.
-- name: retotal
UPDATE mythline.entries AS e SET total = $6::bigint + counted.sofar
  FROM (
    SELECT place, sum(octet_length(body)) OVER (ORDER BY place) AS sofar
      FROM mythline.entries
     WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND line = $4 AND place < $5
  ) AS counted
 WHERE e.owner = $1 AND e.agent_id = $2 AND e.session_id = $3 AND e.line = $4
   AND e.place = counted.place

-- name: drop_branch
DELETE FROM mythline.branches
 WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND n = $4 AND ord = $5

-- The next `$5` lines that have entries after one, by jumps of the index; in each, what comes
-- after the last entry that anything needs.
-- name: check_entries
WITH RECURSIVE each AS (
  (SELECT owner, agent_id, session_id, line, 1 AS number FROM mythline.entries
    WHERE (owner, agent_id, session_id, line) > ($1, $2, $3, $4::bigint)
    ORDER BY owner, agent_id, session_id, line LIMIT 1)
  UNION ALL
  SELECT next.*, each.number + 1 FROM each CROSS JOIN LATERAL (
    SELECT e.owner, e.agent_id, e.session_id, e.line FROM mythline.entries AS e
     WHERE (e.owner, e.agent_id, e.session_id, e.line)
           > (each.owner, each.agent_id, each.session_id, each.line)
     ORDER BY e.owner, e.agent_id, e.session_id, e.line LIMIT 1
  ) AS next WHERE each.number < $5
)
SELECT each.owner, each.agent_id, each.session_id, each.line, spare.count, spare.bytes
  FROM each CROSS JOIN LATERAL (
    SELECT coalesce(max(needed), -1) AS needed FROM (
      SELECT length - 1 AS needed FROM mythline.sessions AS s
       WHERE s.owner = each.owner AND s.agent_id = each.agent_id
         AND s.session_id = each.session_id AND s.line = each.line
      UNION ALL
      SELECT max(b.place) FROM mythline.branches AS b
       WHERE b.owner = each.owner AND b.agent_id = each.agent_id
         AND b.home = each.session_id AND b.line = each.line
      UNION ALL
      SELECT max(l.follows_place) FROM mythline.lines AS l
       WHERE l.owner = each.owner AND l.agent_id = each.agent_id
         AND l.follows_home = each.session_id AND l.follows_line = each.line
    ) AS those
  ) AS last CROSS JOIN LATERAL (
    SELECT count(*) AS count, coalesce(sum(octet_length(e.body)), 0)::bigint AS bytes
      FROM mythline.entries AS e
     WHERE e.owner = each.owner AND e.agent_id = each.agent_id
       AND e.session_id = each.session_id AND e.line = each.line AND e.place > last.needed
  ) AS spare
 ORDER BY each.number

-- The tables, indexes and sequences that there are and can be used.
-- name: check_schema
SELECT c.relname AS name FROM pg_class AS c
  JOIN pg_namespace AS space ON space.oid = c.relnamespace AND space.nspname = 'mythline'
  LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
 WHERE coalesce(i.indisvalid AND i.indisready, true)

-- Fragments -----------------------------------------------------------------------------------

-- A new session with its line and tags.
-- name: made
s AS (
  INSERT INTO mythline.sessions
         (owner, agent_id, session_id, n, revision, line, length, head_id, message_count,
          body_bytes, created, updated, shared_id, pinned, archived, title, opening, title_folded,
          preview, preview_folded, tags, forked_from, forked_at, usage, deferred, metadata,
          unindexed)
  VALUES ($1, $2, $3, nextval('mythline.numbers'), $4, nextval('mythline.numbers'), $5::integer,
          $6, $5::integer, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
          $22, $23, $5::integer > 0)
  RETURNING owner, agent_id, session_id, n, line, revision
), started AS (
  INSERT INTO mythline.lines (owner, agent_id, session_id, line)
  SELECT owner, agent_id, session_id, line FROM s
), tagged AS (
  INSERT INTO mythline.tags (owner, agent_id, session_id, n, tag)
  SELECT owner, agent_id, session_id, n, tag FROM s, unnest($24::text[]) AS tag
)

-- What a session is to a list.
-- name: info
s.owner, s.agent_id, s.session_id, s.n, s.revision, s.described, s.message_count, s.body_bytes,
s.created, s.updated, s.deleted, s.pinned, s.archived, s.title, s.opening, s.preview, s.tags

-- And with all that it carries.
-- name: details
{info}, s.head_id, s.usage, s.deferred, s.metadata, s.forked_from, s.forked_at,
{branches} AS branches

-- The part of it that a history is gone on from.
-- name: state
s.owner, s.revision, s.described, s.updated, s.head_id, s.message_count, s.usage, s.deferred,
s.forked_from, s.forked_at, {branches} AS branches

-- name: branches
ARRAY(SELECT b.entry_id FROM mythline.branches AS b
       WHERE b.owner = s.owner AND b.agent_id = s.agent_id AND b.session_id = s.session_id
         AND b.n = s.n ORDER BY b.ord)

-- name: own
SELECT * FROM mythline.sessions
 WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND deleted IS NULL

-- A session of the owner, or else one that is found by its id alone.
-- name: found
SELECT * FROM (
  SELECT *, 0 AS rank FROM mythline.sessions
   WHERE owner = $1 AND agent_id = $2 AND session_id = $3 AND deleted IS NULL
  UNION ALL
  (SELECT *, 1 FROM mythline.sessions
    WHERE agent_id = $2 AND session_id = $3 AND deleted IS NULL AND shared_id
    ORDER BY updated DESC LIMIT 1)
) AS either ORDER BY rank LIMIT 1

-- The ranges of the history of the session `s`, the newest first.
-- name: part
part AS (
  SELECT l.session_id AS home, l.line, s.length, l.base,
         l.follows_home, l.follows_line, l.follows_place
    FROM s JOIN mythline.lines AS l
      ON l.owner = s.owner AND l.agent_id = s.agent_id
     AND l.session_id = s.session_id AND l.line = s.line
  UNION ALL
  SELECT l.session_id, l.line, part.follows_place + 1, l.base,
         l.follows_home, l.follows_line, l.follows_place
    FROM part CROSS JOIN s JOIN mythline.lines AS l
      ON l.owner = s.owner AND l.agent_id = s.agent_id
     AND l.session_id = part.follows_home AND l.line = part.follows_line
   WHERE part.follows_line IS NOT NULL AND {fits}
)

-- Whether a line is what a part of a history follows.
-- name: fits
l.base + part.follows_place + 1 = part.base AND part.follows_place >= 0

-- How many messages of the history `part` of `s` come before an entry; NULL if it hasn't got it.
-- name: position
(SELECT part.base + e.place FROM mythline.entries AS e JOIN part
     ON part.home = e.session_id AND part.line = e.line AND e.place < part.length
  WHERE e.entry_id = {entry} AND e.owner = $1 AND e.agent_id = $2)

-- The entry `$3` for owner `$1`, if a living session reaches it: itself, or a line that follows it.
-- name: reached
entry AS (
  SELECT owner, session_id AS home, line, place, total, entry_id FROM mythline.entries
   WHERE entry_id = $3 AND agent_id = $2 AND (owner = $1 OR $1 = '')
), up AS (
  SELECT owner, home, line, place FROM entry
  UNION
  SELECT l.owner, l.session_id, l.line, -1 FROM up JOIN mythline.lines AS l
      ON l.owner = up.owner AND l.agent_id = $2 AND l.follows_home = up.home
     AND l.follows_line = up.line AND l.follows_place >= up.place
), reached AS (
  SELECT * FROM entry WHERE EXISTS (
    SELECT FROM up JOIN mythline.sessions AS s
        ON s.owner = up.owner AND s.agent_id = $2 AND s.session_id = up.home
       AND s.line = up.line AND s.length > up.place
     WHERE up.owner = entry.owner AND s.deleted IS NULL AND (s.owner = $1 OR s.shared_id)
  ) OR EXISTS (
    SELECT FROM up JOIN mythline.branches AS b
        ON b.owner = up.owner AND b.agent_id = $2 AND b.home = up.home
       AND b.line = up.line AND b.place >= up.place
      JOIN mythline.sessions AS s
        ON s.owner = b.owner AND s.agent_id = b.agent_id AND s.session_id = b.session_id
       AND s.n = b.n
     WHERE up.owner = entry.owner AND s.deleted IS NULL AND (s.owner = $1 OR s.shared_id)
  )
  ORDER BY owner = $1 DESC LIMIT 1
)

-- The words that are looked for, and where: an expression is known when the statement is planned.
-- name: asked_once
($2::text[])[1]::tsquery, 1) AS rank
            FROM mythline.documents AS d
           WHERE d.words @@ ($2::text[])[1]::tsquery

-- name: asked_often
asked.words, 1) AS rank
            FROM (SELECT each::tsquery AS words FROM unnest($2::text[]) AS each) AS asked
            JOIN mythline.documents AS d ON d.words @@ asked.words
           WHERE true

-- The lines that lead to a session that is asked for, or a branch of it, of agents `$13`. Where
-- these are few, the rest is not even ranked.
-- name: few
wanted AS (
  SELECT s.agent_id, s.session_id, s.n, s.line FROM mythline.sessions AS s
   WHERE s.owner = $1 AND s.agent_id = ANY ($13::text[]) AND s.deleted IS NULL AND {session_is}
), part AS (
  (
    SELECT agent_id, session_id AS home, line FROM wanted
    UNION ALL
    SELECT b.agent_id, b.home, b.line FROM wanted JOIN mythline.branches AS b
        ON b.owner = $1 AND b.agent_id = wanted.agent_id AND b.session_id = wanted.session_id
       AND b.n = wanted.n
  )
  UNION
  SELECT l.agent_id, l.follows_home, l.follows_line FROM part JOIN mythline.lines AS l
      ON l.owner = $1 AND l.agent_id = part.agent_id
     AND l.session_id = part.home AND l.line = part.line
   WHERE l.follows_line IS NOT NULL
),

-- name: among_few
AND d.line IN (SELECT line FROM part)

-- name: session_is
($9::boolean IS NULL OR s.archived = $9)
   AND ($10::text IS NULL OR EXISTS (
         SELECT FROM mythline.tags AS t
          WHERE t.owner = s.owner AND t.agent_id = s.agent_id AND t.session_id = s.session_id
            AND t.n = s.n AND t.tag = $10))

-- The session in which the entry of the document `d` is shown.
-- name: having
WITH RECURSIVE up AS (
  SELECT d.session_id AS home, d.line, d.place
  UNION
  SELECT l.session_id, l.line, -1 FROM up JOIN mythline.lines AS l
      ON l.owner = $1 AND l.agent_id = d.agent_id AND l.follows_home = up.home
     AND l.follows_line = up.line AND l.follows_place >= up.place
)
SELECT * FROM (
  SELECT true AS is_current, s.agent_id, s.session_id, s.title, s.opening, s.updated, s.created, s.n
    FROM up JOIN mythline.sessions AS s
      ON s.owner = $1 AND s.agent_id = d.agent_id AND s.session_id = up.home
     AND s.line = up.line AND s.length > up.place
   WHERE s.deleted IS NULL AND {session_is}
  UNION ALL
  SELECT false, s.agent_id, s.session_id, s.title, s.opening, s.updated, s.created, s.n
    FROM up JOIN mythline.branches AS b
      ON b.owner = $1 AND b.agent_id = d.agent_id AND b.home = up.home
     AND b.line = up.line AND b.place >= up.place
    JOIN mythline.sessions AS s
      ON s.owner = b.owner AND s.agent_id = b.agent_id AND s.session_id = b.session_id
     AND s.n = b.n
   WHERE s.deleted IS NULL AND {session_is}
) AS those
 ORDER BY is_current DESC, created, n LIMIT 1

-- Whose sessions are indexed.
-- name: of_all
true

-- name: of_owner
s.owner = $2

-- name: of_agents
s.owner = $2 AND s.agent_id = ANY ($3::text[])

-- An event. Its number is taken after a lock that tells those who read how far they may go.
-- name: into_events
INSERT INTO mythline.events (owner, agent_id, session_id, n, type, revision, time)

-- name: number
CASE WHEN pg_advisory_xact_lock_shared(
            ({lock_space}::bigint << 48) | (last.last_value - (NOT last.is_called)::integer)
          ) IS NOT NULL
     THEN nextval('mythline.event_numbers') END
