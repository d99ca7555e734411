-- Sessions, the entries of their histories, and the state of their views.
--
-- Owners: '' is no owner. Times are microseconds since 1970, UTC.
--
-- An entry's number says where it is: its line times 2^20, plus its place in the line. A line is
-- an unbroken run of entries; a branch or a fork that leaves one starts another, which names the
-- entry it follows. So a history is a few ranges of numbers, read without following links, and
-- sessions share what they have in common.

CREATE TABLE sessions (
  n             INTEGER PRIMARY KEY,
  owner         TEXT NOT NULL,
  agent_id      TEXT NOT NULL,
  session_id    TEXT NOT NULL,
  shared_id     INTEGER NOT NULL DEFAULT 0,  -- found by its id alone, by an ownerless caller
  revision      TEXT NOT NULL,
  head          INTEGER NOT NULL DEFAULT 0,  -- the newest entry; 0 while there is none
  head_id       TEXT,
  message_count INTEGER NOT NULL DEFAULT 0,
  body_bytes    INTEGER NOT NULL DEFAULT 0,  -- of the messages in the history
  created       INTEGER NOT NULL,
  updated       INTEGER NOT NULL,
  deleted       INTEGER,                     -- when; NULL while the session lives
  view_lost     INTEGER NOT NULL DEFAULT 0,  -- deleted because its view was removed
  title         TEXT,
  opening       TEXT NOT NULL DEFAULT '',    -- the start of the first prompt
  preview       TEXT NOT NULL DEFAULT '',    -- the start of the last text
  tags          TEXT NOT NULL DEFAULT '[]',
  pinned        INTEGER NOT NULL DEFAULT 0,
  archived      INTEGER NOT NULL DEFAULT 0,
  forked_from   TEXT,
  forked_at     TEXT,
  pending       INTEGER NOT NULL DEFAULT 0,  -- the file in the view's place was not read yet
  view_head     INTEGER,                     -- what the view shows; NULL: no view was written
  view_count    INTEGER,                     -- how many messages that are
  view_size     INTEGER,                     -- bytes, and
  view_mtime    INTEGER                      -- nanoseconds: how to know the file again
) STRICT;

CREATE UNIQUE INDEX sessions_key ON sessions (owner, agent_id, session_id)
  WHERE deleted IS NULL;
CREATE INDEX sessions_newest ON sessions (owner, agent_id, updated DESC, n DESC)
  WHERE deleted IS NULL;
CREATE INDEX sessions_shared ON sessions (agent_id, session_id)
  WHERE deleted IS NULL AND shared_id = 1;
CREATE INDEX sessions_stale ON sessions (n)
  WHERE deleted IS NULL AND pending = 0 AND head IS NOT view_head;
CREATE INDEX sessions_head ON sessions (head);
CREATE INDEX sessions_deleted ON sessions (owner, agent_id, session_id, deleted)
  WHERE deleted IS NOT NULL;

-- What only the session itself needs: kept out of the rows that lists read.
CREATE TABLE session_state (
  n        INTEGER PRIMARY KEY REFERENCES sessions (n) ON DELETE CASCADE,
  usage    BLOB NOT NULL DEFAULT x'7b7d',
  deferred BLOB,
  metadata TEXT NOT NULL DEFAULT '{}'
) STRICT;

CREATE TABLE lines (
  line    INTEGER PRIMARY KEY,
  follows INTEGER NOT NULL DEFAULT 0,  -- the entry before its first; 0: none
  base    INTEGER NOT NULL DEFAULT 0   -- how many entries come before its first
) STRICT;
CREATE INDEX lines_follows ON lines (follows) WHERE follows > 0;

CREATE TABLE entries (
  n    INTEGER PRIMARY KEY,
  id   TEXT NOT NULL UNIQUE,
  body BLOB NOT NULL
) STRICT;

CREATE TABLE branches (
  session INTEGER NOT NULL REFERENCES sessions (n) ON DELETE CASCADE,
  ord     INTEGER NOT NULL,
  entry   INTEGER NOT NULL,
  PRIMARY KEY (session, ord)
) STRICT, WITHOUT ROWID;
CREATE INDEX branches_entry ON branches (entry);

-- Appends that were sent with an Idempotency-Key, for a day.
CREATE TABLE idempotency (
  session  INTEGER NOT NULL REFERENCES sessions (n) ON DELETE CASCADE,
  key      TEXT NOT NULL,
  digest   BLOB NOT NULL,
  saved    INTEGER NOT NULL,
  revision TEXT NOT NULL,
  total    INTEGER NOT NULL,
  ids      TEXT NOT NULL,
  PRIMARY KEY (session, key)
) STRICT, WITHOUT ROWID;

-- The folders of views: which directory it was when its sessions were last compared with it.
CREATE TABLE folders (
  owner    TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  identity TEXT NOT NULL,
  PRIMARY KEY (owner, agent_id)
) STRICT, WITHOUT ROWID;
