-- All SQL of the local store. The schema, with what its columns mean, is in migrations/.

-- Entries and lines ---------------------------------------------------------------------------

-- name: line
SELECT follows, base FROM lines WHERE line = ?

-- A number that no line has, nor entries of one that was lost.
-- name: add_line
INSERT INTO lines (line, follows, base)
VALUES (1 + max(coalesce((SELECT max(line) FROM lines), 0),
                coalesce((SELECT max(n) >> 20 FROM entries), 0)), ?, ?)

-- name: drop_line
DELETE FROM lines WHERE line = ?

-- name: entry_number
SELECT n FROM entries WHERE id = ?

-- name: entry_id
SELECT id FROM entries WHERE n = ?

-- name: has_entry
SELECT 1 FROM entries WHERE n = ?

-- Whether its line goes on after an entry, be it that the next one was lost.
-- name: is_followed
SELECT EXISTS (SELECT 1 FROM entries WHERE n > :entry AND n <= :entry | 1048575)

-- name: entries
SELECT id, body FROM entries WHERE n BETWEEN ? AND ? ORDER BY n

-- Entries of a line: how many there are, whether one is odd, and all of them with commas between,
-- which is much faster than row after row.
-- name: joined
SELECT count(*) AS there,
       EXISTS (SELECT 1 FROM entries WHERE odd AND n BETWEEN :low AND :high) AS has_odd,
       CAST(group_concat(body) AS BLOB) AS bodies
  FROM (SELECT body FROM entries WHERE n BETWEEN :low AND :high ORDER BY n)

-- A session's state, with its messages joined as above where its last line has all that are asked
-- for, none is odd, and they are no more bytes than so many; else NULL. Of a whole history, their
-- bytes tell whether one is missing; only the last of them are counted.
-- name: state
SELECT revision, described, updated, head_id, usage, deferred, forked_from, forked_at,
       pending, view_size, view_mtime,
       body_bytes + message_count - 1 AS bytes, :limit < message_count AS is_part,
       (SELECT json_group_array(id) FROM (
          SELECT id FROM branches JOIN entries ON entries.n = branches.entry
           WHERE session = sessions.n ORDER BY ord)) AS branches,
       CASE WHEN body_bytes * min(:limit, message_count) <= :most * message_count
             AND base <= max(0, message_count - :limit) AND (base = 0) = (follows = 0)
             AND (:limit >= message_count
                  OR :limit = (SELECT count(*) FROM entries
                                WHERE n BETWEEN
                                      (lines.line << 20) + message_count - :limit - base AND head))
             AND NOT EXISTS (SELECT 1 FROM entries
                              WHERE odd AND n BETWEEN
                                    (lines.line << 20) + max(0, message_count - :limit) - base AND head)
            THEN coalesce((SELECT CAST(group_concat(body) AS BLOB)
                             FROM (SELECT body FROM entries
                                    WHERE n BETWEEN
                                          (lines.line << 20) + max(0, message_count - :limit) - base
                                      AND head ORDER BY n)),
                          x'')
        END AS bodies
  FROM sessions JOIN session_state USING (n) JOIN lines ON lines.line = head >> 20
 WHERE owner = :owner AND agent_id = :agent_id AND session_id = :session_id AND deleted IS NULL

-- name: body_bytes
SELECT coalesce(sum(length(body)), 0) FROM entries WHERE n BETWEEN ? AND ?

-- name: add_entry
INSERT INTO entries (n, id, body, odd) VALUES (?, ?, ?, ?)

-- name: drop_entries
DELETE FROM entries WHERE n BETWEEN ? AND ?

-- Whether a living session has the head, or the end of a branch, in part of a line.
-- name: reached
SELECT 1 FROM sessions
 WHERE line = :low >> 20 AND head >= :low AND deleted IS NULL AND agent_id = :agent_id
   AND (owner = :owner OR :owner = '' AND shared_id = 1)
UNION ALL
SELECT 1 FROM branches JOIN sessions ON sessions.n = branches.session
 WHERE branches.entry BETWEEN :low AND :high AND deleted IS NULL AND agent_id = :agent_id
   AND (owner = :owner OR :owner = '' AND shared_id = 1)
LIMIT 1

-- The lines that begin after an entry of part of a line.
-- name: followers
SELECT line FROM lines WHERE follows BETWEEN ? AND ? AND follows > 0

-- The last entry of a line that a session (deleted ones count: they can be restored), a branch
-- or another line needs.
-- name: last_needed
SELECT max(needed) FROM (
  SELECT max(head) AS needed FROM sessions WHERE line = :low >> 20
  UNION ALL
  SELECT max(entry) FROM branches WHERE entry BETWEEN :low AND :high
  UNION ALL
  SELECT max(follows) FROM lines WHERE follows BETWEEN :low AND :high AND follows > 0
)

-- Sessions ------------------------------------------------------------------------------------

-- name: session
SELECT sessions.*, usage, deferred, metadata,
       (SELECT json_group_array(id) FROM (
          SELECT id FROM branches JOIN entries ON entries.n = branches.entry
           WHERE session = sessions.n ORDER BY ord)) AS branches
  FROM sessions JOIN session_state USING (n)
 WHERE owner = :owner AND agent_id = :agent_id AND session_id = :session_id AND deleted IS NULL

-- What an append goes on from.
-- name: growing
SELECT n, owner, agent_id, session_id, revision, head, head_id, message_count, body_bytes,
       opening, preview, pending, view_size, view_mtime, view_foreign, usage, deferred,
       forked_from, forked_at, unindexed, stale,
       EXISTS (SELECT 1 FROM entries WHERE entries.n > head AND entries.n <= head | 1048575)
         AS is_followed
  FROM sessions JOIN session_state USING (n)
 WHERE owner = ? AND agent_id = ? AND session_id = ? AND deleted IS NULL

-- name: shared_session
SELECT sessions.*, usage, deferred, metadata,
       (SELECT json_group_array(id) FROM (
          SELECT id FROM branches JOIN entries ON entries.n = branches.entry
           WHERE session = sessions.n ORDER BY ord)) AS branches
  FROM sessions JOIN session_state USING (n)
 WHERE agent_id = :agent_id AND session_id = :session_id AND deleted IS NULL AND shared_id = 1
 ORDER BY updated DESC LIMIT 1

-- Whether an ownerless caller finds a session by this id alone.
-- name: id_is_taken
SELECT 1 FROM sessions
 WHERE owner = '' AND agent_id = :agent_id AND session_id = :session_id AND deleted IS NULL
UNION ALL
SELECT 1 FROM sessions
 WHERE agent_id = :agent_id AND session_id = :session_id AND deleted IS NULL AND shared_id = 1
LIMIT 1

-- name: session_by_number
SELECT * FROM sessions JOIN session_state USING (n) WHERE n = ?

-- name: tips
SELECT entry FROM branches WHERE session = ? ORDER BY ord

-- A page of a list; what the braces stand for is in lists.py.
-- name: page
SELECT sessions.* FROM {source}
 WHERE owner = :owner AND agent_id = :agent_id AND {condition}
 ORDER BY {order} LIMIT :limit

-- name: count
SELECT count(*) FROM {source} WHERE owner = :owner AND agent_id = :agent_id AND {condition}

-- Whether a tag has more sessions than so many, whoever's they are.
-- name: is_frequent
SELECT 1 FROM tags WHERE tag = ? LIMIT 1 OFFSET ?

-- name: records
SELECT sessions.*, usage, deferred, metadata,
       (SELECT json_group_array(id) FROM (
          SELECT id FROM branches JOIN entries ON entries.n = branches.entry
           WHERE session = sessions.n ORDER BY ord)) AS branches
  FROM sessions JOIN session_state USING (n)
 WHERE owner = :owner AND agent_id = :agent_id AND deleted IS NULL
 ORDER BY updated DESC, n DESC LIMIT :limit

-- name: records_shared
SELECT * FROM (
  SELECT sessions.*, usage, deferred, metadata,
         (SELECT json_group_array(id) FROM (
            SELECT id FROM branches JOIN entries ON entries.n = branches.entry
             WHERE session = sessions.n ORDER BY ord)) AS branches
    FROM sessions JOIN session_state USING (n)
   WHERE owner = '' AND agent_id = :agent_id AND deleted IS NULL
   ORDER BY updated DESC, n DESC LIMIT :limit
)
UNION ALL
SELECT * FROM (
  SELECT sessions.*, usage, deferred, metadata,
         (SELECT json_group_array(id) FROM (
            SELECT id FROM branches JOIN entries ON entries.n = branches.entry
             WHERE session = sessions.n ORDER BY ord)) AS branches
    FROM sessions JOIN session_state USING (n)
   WHERE agent_id = :agent_id AND owner <> '' AND shared_id = 1 AND deleted IS NULL
   ORDER BY updated DESC, n DESC LIMIT :limit
)
ORDER BY updated DESC, n DESC LIMIT :limit

-- name: owners
WITH RECURSIVE owner (name) AS (
  SELECT min(owner) FROM sessions WHERE deleted IS NULL
  UNION ALL
  SELECT (SELECT min(owner) FROM sessions WHERE deleted IS NULL AND sessions.owner > owner.name)
    FROM owner WHERE owner.name IS NOT NULL
)
SELECT name FROM owner WHERE name IS NOT NULL

-- name: agents
WITH RECURSIVE agent (id) AS (
  SELECT min(agent_id) FROM sessions WHERE owner = :owner AND deleted IS NULL
  UNION ALL
  SELECT (SELECT min(agent_id) FROM sessions
           WHERE owner = :owner AND deleted IS NULL AND agent_id > agent.id)
    FROM agent WHERE agent.id IS NOT NULL
)
SELECT id,
       (SELECT count(*) FROM sessions
         WHERE owner = :owner AND agent_id = id AND deleted IS NULL),
       (SELECT max(updated) FROM sessions
         WHERE owner = :owner AND agent_id = id AND deleted IS NULL)
  FROM agent WHERE id IS NOT NULL

-- name: agents_of_trash
SELECT DISTINCT agent_id FROM sessions WHERE owner = ? AND deleted IS NOT NULL

-- name: knows
SELECT 1 FROM sessions WHERE owner = ? AND agent_id = ? AND deleted IS NULL LIMIT 1

-- name: all_numbers
SELECT n FROM sessions WHERE owner = ? AND agent_id = ? AND deleted IS NULL

-- name: add_session
INSERT INTO sessions (owner, agent_id, session_id, shared_id, revision, created, updated,
                      title, tags, pinned, archived, forked_from, forked_at, pending)
VALUES (:owner, :agent_id, :session_id, :shared_id, :revision, :created, :updated,
        :title, :tags, :pinned, :archived, :forked_from, :forked_at, :pending)

-- name: add_state
INSERT INTO session_state (n, metadata) VALUES (?, ?)

-- name: set_history
UPDATE sessions
   SET revision = :revision, described = NULL, head = :head, line = :head >> 20, head_id = :head_id,
       message_count = :message_count, body_bytes = :body_bytes, updated = :updated,
       opening = :opening, preview = :preview, forked_from = :forked_from,
       forked_at = :forked_at, unindexed = 1, stale = :head IS NOT view_head
 WHERE n = :n

-- On the same line; `grow` where what follows a save is marked as due already.
-- name: grow
UPDATE sessions
   SET revision = ?, described = NULL, head = ?, head_id = ?, message_count = ?, body_bytes = ?,
       updated = ?, preview = ?
 WHERE n = ?

-- name: grow_and_mark
UPDATE sessions
   SET revision = ?, described = NULL, head = ?, head_id = ?, message_count = ?, body_bytes = ?,
       updated = ?, preview = ?, unindexed = 1, stale = 1
 WHERE n = ?

-- name: set_opening
UPDATE sessions SET opening = ? WHERE n = ?

-- name: describe
UPDATE sessions SET described = ?, title = ?, tags = ?, pinned = ?, archived = ? WHERE n = ?

-- name: recount
UPDATE sessions SET message_count = ?, body_bytes = ?, head_id = ? WHERE n = ?

-- name: set_metadata
UPDATE session_state SET metadata = ? WHERE n = ?

-- name: drop_tags
DELETE FROM tags WHERE session = ?

-- name: add_tag
INSERT INTO tags (tag, session) VALUES (?, ?)

-- name: set_state
UPDATE session_state SET usage = ?, deferred = ? WHERE n = ?

-- name: drop_deferred
UPDATE session_state SET deferred = NULL WHERE n = ? AND deferred IS NOT NULL

-- name: drop_branches
DELETE FROM branches WHERE session = ?

-- name: add_branch
INSERT INTO branches (session, ord, entry) VALUES (?, ?, ?)

-- name: last_branch
SELECT coalesce(max(ord), 0) FROM branches WHERE session = ?

-- name: set_created
UPDATE sessions SET created = ? WHERE n = ?

-- name: set_deleted
UPDATE sessions SET deleted = ?, view_lost = ? WHERE n = ?

-- The session that is deleted only because its view was removed, if its view comes back.
-- name: lost_session
SELECT n FROM sessions
 WHERE owner = ? AND agent_id = ? AND session_id = ? AND deleted IS NOT NULL AND view_lost = 1
 ORDER BY deleted DESC LIMIT 1

-- Of those, the ones that were deleted a moment ago and whose id is free.
-- name: just_lost
SELECT n FROM sessions AS lost
 WHERE owner = ? AND agent_id = ? AND deleted > ? AND view_lost = 1
   AND NOT EXISTS (SELECT 1 FROM sessions AS other
                    WHERE other.owner = lost.owner AND other.agent_id = lost.agent_id
                      AND other.session_id = lost.session_id AND other.deleted IS NULL)
 GROUP BY session_id HAVING deleted = max(deleted)

-- name: revive
UPDATE sessions SET deleted = NULL, view_lost = 0, pending = 1 WHERE n = ?

-- Of the deleted sessions with an id, the last deleted; `deleted_all` all of them.
-- name: deleted_last
SELECT * FROM sessions JOIN session_state USING (n)
 WHERE owner = :owner AND agent_id = :agent_id AND session_id = :session_id
   AND deleted IS NOT NULL
 ORDER BY deleted DESC, n DESC LIMIT 1

-- name: deleted_all
SELECT n FROM sessions
 WHERE owner = ? AND agent_id = ? AND session_id = ? AND deleted IS NOT NULL

-- name: trash
SELECT n FROM sessions
 WHERE owner = ? AND agent_id = ? AND deleted IS NOT NULL AND deleted < ?

-- name: expired
SELECT n FROM sessions WHERE deleted IS NOT NULL AND deleted < ? ORDER BY deleted LIMIT ?

-- name: is_deleted
SELECT 1 FROM sessions WHERE n = ? AND deleted IS NOT NULL

-- name: restore
UPDATE sessions
   SET deleted = NULL, view_lost = 0, pending = 0, session_id = ?,
       view_head = NULL, view_count = NULL, view_size = NULL, view_mtime = NULL, stale = 1
 WHERE n = ?

-- name: drop_session
DELETE FROM sessions WHERE n = ?

-- Idempotency ---------------------------------------------------------------------------------

-- name: repeated
SELECT digest, revision, total, ids FROM idempotency WHERE session = ? AND key = ? AND saved > ?

-- name: forget_repeats
DELETE FROM idempotency WHERE session = ? AND saved <= ?

-- name: remember
INSERT INTO idempotency (session, key, digest, saved, revision, total, ids)
VALUES (?, ?, ?, ?, ?, ?, ?)

-- Views ---------------------------------------------------------------------------------------

-- name: stale
SELECT n FROM sessions
 WHERE stale = 1 AND deleted IS NULL AND pending = 0
 LIMIT ?

-- name: set_view
UPDATE sessions
   SET view_head = :shown, view_count = :count, view_size = :size, view_mtime = :mtime,
       pending = 0, stale = head IS NOT :shown
 WHERE n = :n

-- name: set_view_foreign
UPDATE sessions SET view_foreign = ? WHERE n = ?

-- name: forget_view
UPDATE sessions
   SET view_head = NULL, view_count = NULL, view_size = NULL, view_mtime = NULL, pending = 0,
       stale = 1
 WHERE n = ?

-- name: set_pending
UPDATE sessions SET pending = 1 WHERE n = ?

-- name: file_states
SELECT session_id, n, view_size, view_mtime, pending FROM sessions
 WHERE owner = ? AND agent_id = ? AND deleted IS NULL

-- name: some_file_states
SELECT session_id, n, view_size, view_mtime, pending FROM sessions
 WHERE owner = ? AND agent_id = ? AND session_id > ? AND deleted IS NULL
 ORDER BY session_id LIMIT ?

-- name: view_names
SELECT session_id || ? FROM sessions
 WHERE owner = ? AND agent_id = ? AND deleted IS NULL
 ORDER BY session_id

-- name: pending
SELECT session_id FROM sessions
 WHERE owner = ? AND agent_id = ? AND deleted IS NULL AND pending = 1

-- name: folders
SELECT owner, agent_id, identity FROM folders

-- name: folder
SELECT identity FROM folders WHERE owner = ? AND agent_id = ?

-- name: set_folder
INSERT INTO folders (owner, agent_id, identity) VALUES (?, ?, ?)
    ON CONFLICT (owner, agent_id) DO UPDATE SET identity = excluded.identity

-- Checks --------------------------------------------------------------------------------------

-- name: every_session
SELECT n FROM sessions ORDER BY owner, agent_id, session_id, n

-- name: entries_there
SELECT count(*) FROM entries WHERE n BETWEEN ? AND ?

-- name: tags
SELECT tag FROM tags WHERE session = ?

-- What the migrations make, without what SQLite makes for it; tables before their indexes.
-- name: schema
SELECT name, type, sql FROM sqlite_master
 WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%' AND name NOT GLOB 'words_*'
 ORDER BY type DESC, rowid

-- name: has_search_state
SELECT count(*) FROM search_state

-- name: add_search_state
INSERT INTO search_state (version) VALUES (0)

-- name: without_state
SELECT * FROM sessions WHERE n NOT IN (SELECT n FROM session_state)

-- name: add_empty_state
INSERT OR IGNORE INTO session_state (n) VALUES (?)

-- name: set_tags
UPDATE sessions SET tags = ? WHERE n = ?

-- name: drop_branch
DELETE FROM branches WHERE session = ? AND entry = ?

-- What comes after the last entry of its line that anything needs.
-- name: orphans
SELECT count(*), coalesce(sum(length(body)), 0) FROM entries
 WHERE n > coalesce((
   SELECT max(needed) FROM (
     SELECT max(head) AS needed FROM sessions WHERE line = entries.n >> 20
     UNION ALL
     SELECT max(entry) FROM branches
      WHERE entry BETWEEN entries.n >> 20 << 20 AND entries.n | 1048575
     UNION ALL
     SELECT max(follows) FROM lines
      WHERE follows BETWEEN entries.n >> 20 << 20 AND entries.n | 1048575 AND follows > 0
     UNION ALL
     SELECT max(view_head) FROM sessions
      WHERE view_head BETWEEN entries.n >> 20 << 20 AND entries.n | 1048575
   )), 0)

-- Events --------------------------------------------------------------------------------------

-- name: add_event
INSERT INTO events (owner, agent_id, session_id, type, revision, time) VALUES (?, ?, ?, ?, ?, ?)

-- Of the oldest, those before a number and a time.
-- name: drop_events
DELETE FROM events
 WHERE n IN (SELECT n FROM (SELECT n, time FROM events ORDER BY n LIMIT 1024)
              WHERE n < ? AND time < ?)

-- name: events_kept
SELECT coalesce(min(n), 0), coalesce(max(n), 0) FROM events

-- name: last_event
SELECT coalesce(max(n), 0) FROM events

-- name: events
SELECT n, agent_id, session_id, type, revision, time FROM events
 WHERE n > :after AND owner = :owner AND (:agent_id IS NULL OR agent_id = :agent_id)
 ORDER BY n LIMIT :limit

-- Search --------------------------------------------------------------------------------------

-- name: search_state
SELECT version, purged, erased FROM search_state

-- name: set_search_version
UPDATE search_state SET version = ?

-- name: note_purge
UPDATE search_state SET purged = purged + 1

-- name: set_erased
UPDATE search_state SET erased = max(erased, ?)

-- name: unindexed
SELECT n FROM sessions INDEXED BY sessions_unindexed
 WHERE unindexed = 1 AND deleted IS NULL
 LIMIT :limit

-- name: unindexed_of
SELECT n FROM sessions INDEXED BY sessions_unindexed
 WHERE unindexed = 1 AND deleted IS NULL AND owner = :owner
   AND (:agent_id IS NULL OR agent_id = :agent_id)
 LIMIT :limit

-- name: set_indexed
UPDATE sessions SET unindexed = 0 WHERE n = ? AND head = ?

-- name: unindex_all
UPDATE sessions SET unindexed = 1

-- name: place
SELECT place FROM places WHERE owner = ? AND agent_id = ?

-- name: add_place
INSERT INTO places (owner, agent_id) VALUES (?, ?)

-- name: places_of
SELECT place, agent_id FROM places WHERE owner = ?

-- name: indexed_last
SELECT last FROM indexed WHERE line = ? AND place = ?

-- name: indexed_places
SELECT place, last FROM indexed WHERE line = ? ORDER BY place

-- name: set_indexed_last
INSERT INTO indexed (line, place, last) VALUES (?, ?, ?)
    ON CONFLICT (line, place) DO UPDATE SET last = excluded.last

-- name: cut_indexed
UPDATE indexed SET last = :last WHERE line = :line AND last > :last

-- name: drop_indexed
DELETE FROM indexed WHERE line = ?

-- name: entry_ids
SELECT id FROM entries WHERE n BETWEEN ? AND ? ORDER BY n

-- name: numbered_entries
SELECT n, id, body FROM entries WHERE n BETWEEN ? AND ? ORDER BY n

-- name: documented
SELECT n, id, body FROM documents JOIN entries ON entries.n = documents.entry
 WHERE entry BETWEEN ? AND ? ORDER BY n

-- name: add_document
INSERT INTO documents (entry, said) VALUES (?, ?) ON CONFLICT DO NOTHING

-- name: drop_documents
DELETE FROM documents WHERE entry BETWEEN ? AND ?

-- name: add_words
INSERT INTO words (rowid, user, assistant, tool) VALUES (?, ?, ?, ?)

-- name: drop_words
INSERT INTO words (words, rowid, user, assistant, tool) VALUES ('delete', ?, ?, ?, ?)

-- name: merge_words
INSERT INTO words (words, rank) VALUES ('merge', ?)

-- name: check_words
INSERT INTO words (words) VALUES ('integrity-check')

-- name: remove_words
DROP TABLE words

-- name: empty_pages
DELETE FROM words_data

-- name: empty_terms
DELETE FROM words_idx

-- name: empty_sizes
DELETE FROM words_docsize

-- What SQLite writes for an index without words: no sums, and a structure without levels.
-- name: empty_structure
INSERT INTO words_data (id, block) VALUES (1, x''), (10, x'00000000000000')

-- name: make_words
CREATE VIRTUAL TABLE words USING fts5 (
  user, assistant, tool, content = '', tokenize = "ascii tokenchars '_'"
)

-- name: drop_all_documents
DELETE FROM documents

-- name: drop_all_indexed
DELETE FROM indexed

-- The lines that lead to a session of an owner with a tag, or a branch of it; likewise archived
-- ones. Where few sessions are asked for, the rest is not even ranked.
-- name: lines_tagged
WITH RECURSIVE wanted (n, head) AS (
  SELECT sessions.n, head FROM tags CROSS JOIN sessions ON sessions.n = tags.session
   WHERE tag = :tag AND owner = :owner AND deleted IS NULL
), part (line) AS (
  SELECT head >> 20 FROM wanted
  UNION
  SELECT entry >> 20 FROM wanted CROSS JOIN branches ON branches.session = wanted.n
  UNION
  SELECT follows >> 20 FROM part CROSS JOIN lines ON lines.line = part.line WHERE follows > 0
)
SELECT json_group_array(line) FROM part

-- name: lines_archived
WITH RECURSIVE wanted (n, head) AS (
  SELECT n, head FROM sessions WHERE archived = 1 AND owner = :owner AND deleted IS NULL
), part (line) AS (
  SELECT head >> 20 FROM wanted
  UNION
  SELECT entry >> 20 FROM wanted CROSS JOIN branches ON branches.session = wanted.n
  UNION
  SELECT follows >> 20 FROM part CROSS JOIN lines ON lines.line = part.line WHERE follows > 0
)
SELECT json_group_array(line) FROM part

-- The documents that match, best first; of equally good ones the one that was stored last.
-- name: matching
SELECT rowid, rank FROM words
 WHERE words MATCH :expression
   AND (:lines IS NULL OR rowid >> 20 IN (SELECT value FROM json_each(:lines)))
   AND (:all_times OR EXISTS (
         SELECT 1 FROM documents
          WHERE entry = words.rowid AND said >= :since AND said < :until))
   AND (:rank IS NULL OR rank > :rank OR rank = :rank AND rowid < :entry)
 ORDER BY rank, rowid DESC LIMIT :limit

-- The living session of an owner that has an entry: in its history rather than in a branch, and
-- the one made first.
-- name: having
WITH RECURSIVE part (low, high) AS (
  VALUES (:entry, :entry | 1048575)
  UNION  -- ALL would never end where damaged lines lead in a circle
  SELECT line << 20, line << 20 | 1048575 FROM part CROSS JOIN lines
   WHERE follows BETWEEN low AND high AND follows > 0
)
SELECT 1 AS is_current, agent_id, session_id, title, opening, created, updated, n
  FROM part CROSS JOIN sessions INDEXED BY sessions_line
 WHERE sessions.line = low >> 20 AND head >= low AND deleted IS NULL AND owner = :owner
   AND (:archived IS NULL OR archived = :archived)
   AND (:tag IS NULL OR EXISTS (SELECT 1 FROM tags WHERE tag = :tag AND session = n))
UNION ALL
SELECT 0, agent_id, session_id, title, opening, created, updated, n
  FROM part CROSS JOIN branches CROSS JOIN sessions
 WHERE branches.entry BETWEEN low AND high AND n = branches.session
   AND deleted IS NULL AND owner = :owner
   AND (:archived IS NULL OR archived = :archived)
   AND (:tag IS NULL OR EXISTS (SELECT 1 FROM tags WHERE tag = :tag AND session = n))
 ORDER BY 1 DESC, created, n LIMIT 1

-- name: entry
SELECT id, body FROM entries WHERE n = ?

-- Documents without a message, or without words in the index; words without a document.
-- name: odd_documents
SELECT count(*) FROM (
  SELECT entry FROM documents WHERE entry NOT IN (SELECT n FROM entries)
  UNION ALL
  SELECT entry FROM documents WHERE entry NOT IN (SELECT id FROM words_docsize)
  UNION ALL
  SELECT id FROM words_docsize WHERE id NOT IN (SELECT entry FROM documents)
)

-- name: all_indexed
SELECT n, owner, agent_id, head FROM sessions WHERE unindexed = 0 AND deleted IS NULL
