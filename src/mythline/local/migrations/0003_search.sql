-- The words of messages, to search in: `mythline.local.documents` keeps them.
--
-- A message is a document of the index `words`, by its entry's number. A word stands in it once
-- for each place (owner and agent) whose sessions have the message, as `{place}_{word}`: so a
-- query reads what its own owner has of a word, however much others have of it. The index has no
-- copy of the texts.

-- Whether its history or its branches may have messages that are not in the index. What was
-- stored before there was one is indexed beside everything else.
ALTER TABLE sessions ADD COLUMN unindexed INTEGER NOT NULL DEFAULT 1;
CREATE INDEX sessions_unindexed ON sessions (owner, agent_id, n)
  WHERE unindexed = 1 AND deleted IS NULL;

-- Never given twice, so that nobody gets what may be left of another's words.
CREATE TABLE places (
  place    INTEGER PRIMARY KEY AUTOINCREMENT,
  owner    TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  UNIQUE (owner, agent_id)
) STRICT;

-- The last entry of a line that is indexed for a place. What the line follows is, wholly.
CREATE TABLE indexed (
  line  INTEGER NOT NULL,
  place INTEGER NOT NULL,
  last  INTEGER NOT NULL,
  PRIMARY KEY (line, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE documents (
  entry INTEGER PRIMARY KEY,
  said  INTEGER NOT NULL  -- when: microseconds since 1970, UTC
) STRICT;

CREATE TABLE search_state (
  version INTEGER NOT NULL,            -- of the words: `mythline.search.VERSION`
  purged  INTEGER NOT NULL DEFAULT 0,  -- how often something was purged,
  erased  INTEGER NOT NULL DEFAULT 0   -- and up to which time its traces were removed
) STRICT;
INSERT INTO search_state (version) VALUES (0);

CREATE VIRTUAL TABLE words USING fts5 (
  user, assistant, tool, content = '', tokenize = "ascii tokenchars '_'"
);
