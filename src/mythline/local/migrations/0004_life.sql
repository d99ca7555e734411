-- What describes sessions and what happens to them: lists by tag, creation and title; trash; events.

-- What a description adds to the revision, until the next save.
ALTER TABLE sessions ADD COLUMN described TEXT;

CREATE TABLE tags (
  tag     TEXT NOT NULL,
  session INTEGER NOT NULL REFERENCES sessions (n) ON DELETE CASCADE,
  PRIMARY KEY (tag, session)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_session ON tags (session);
INSERT INTO tags (tag, session)
  SELECT value, sessions.n FROM sessions, json_each(sessions.tags) WHERE sessions.tags <> '[]';

-- With `archived` last, a list passes over what it leaves out without a look at the rows.
DROP INDEX sessions_newest;
CREATE INDEX sessions_newest ON sessions (owner, agent_id, updated DESC, n DESC, archived)
  WHERE deleted IS NULL;
CREATE INDEX sessions_created ON sessions (owner, agent_id, created DESC, n DESC, archived)
  WHERE deleted IS NULL;
CREATE INDEX sessions_title ON sessions
  (owner, agent_id, coalesce(title, opening) COLLATE NOCASE, n DESC, archived)
  WHERE deleted IS NULL;
CREATE INDEX sessions_pinned ON sessions (owner, agent_id, archived)
  WHERE deleted IS NULL AND pinned = 1;
CREATE INDEX sessions_trash ON sessions (owner, agent_id, deleted DESC, n DESC)
  WHERE deleted IS NOT NULL;
CREATE INDEX sessions_expiring ON sessions (deleted) WHERE deleted IS NOT NULL;

-- What happened, in the order of the transactions; the last ten thousand, and those of the last hour.
CREATE TABLE events (
  n          INTEGER PRIMARY KEY,
  owner      TEXT NOT NULL,
  agent_id   TEXT NOT NULL,
  session_id TEXT NOT NULL,
  type       TEXT NOT NULL,
  revision   TEXT,
  time       INTEGER NOT NULL
) STRICT;
