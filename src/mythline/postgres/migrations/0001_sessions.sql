-- Sessions, the entries of their histories, and what happens to them.
--
-- Works with programs from version 1 on.
--
-- Owners: '' is no owner; a NUL, which PostgreSQL's text can't have, is written as in texts.py.
-- Times are microseconds since 1970, UTC. Text is compared and sorted by its bytes.
--
-- An entry is told by the session it was made in, its line, and its place in the line, from 0. A
-- line is an unbroken run of entries. Each session has a line of its own that it goes on in; a
-- branch or a fork starts another one, which follows an entry of a line before it. So a history is
-- a few ranges of keys, and sessions of an owner share what they have in common. A session whose
-- history has entries of its own line ends with the last of them; else with what the line follows.
--
-- Keys start with owner, agent and session, so that tables can be partitioned or distributed by
-- any of them; the ids of entries are unique for an owner and agent.

-- Made before by somebody who may, for a user who may not, it is used as it is.
DO $$ BEGIN
  IF to_regnamespace('mythline') IS NULL THEN
    CREATE SCHEMA mythline;
  END IF;
END $$;

-- `oldest`: programs that know the schema up to this version can still work with it.
CREATE TABLE mythline.schema (
  version integer NOT NULL,
  oldest  integer NOT NULL
);
INSERT INTO mythline.schema (version, oldest) VALUES (0, 0);

CREATE SEQUENCE mythline.numbers;  -- of sessions and lines

CREATE TABLE mythline.sessions (
  owner         text COLLATE "C" NOT NULL,
  agent_id      text COLLATE "C" NOT NULL,
  session_id    text COLLATE "C" NOT NULL,
  n             bigint NOT NULL,                 -- in the order in which sessions were made
  revision      text NOT NULL,
  described     text,                            -- what a description adds to the revision
  line          bigint NOT NULL,                 -- its own
  length        integer NOT NULL DEFAULT 0,      -- entries of its own line, all in its history
  head_id       text,                            -- the newest entry of the history
  before_id     text,                            -- the head before the last save
  message_count integer NOT NULL DEFAULT 0,
  body_bytes    bigint NOT NULL DEFAULT 0,       -- of the messages in the history
  created       bigint NOT NULL,
  updated       bigint NOT NULL,
  deleted       bigint,                          -- when; NULL while the session lives
  shared_id     boolean NOT NULL DEFAULT false,  -- found by its id alone, by an ownerless caller
  pinned        boolean NOT NULL DEFAULT false,
  archived      boolean NOT NULL DEFAULT false,
  unindexed     boolean NOT NULL DEFAULT false,  -- has messages that are not in the search index
  title         text,
  opening       text NOT NULL DEFAULT '',        -- the start of the first prompt
  preview       text NOT NULL DEFAULT '',        -- the start of the last text
  title_folded  text NOT NULL DEFAULT '',        -- title or opening, and preview, whatever the case
  preview_folded text NOT NULL DEFAULT '',
  tags          text NOT NULL DEFAULT '[]',
  forked_from   text,
  forked_at     text,
  usage         bytea NOT NULL DEFAULT '{}',
  deferred      bytea,
  metadata      text NOT NULL DEFAULT '{}',
  PRIMARY KEY (owner, agent_id, session_id, n)
) WITH (fillfactor = 85);

CREATE INDEX sessions_recent ON mythline.sessions (owner, agent_id, archived, updated, n)
  WHERE deleted IS NULL;
CREATE INDEX sessions_created ON mythline.sessions (owner, agent_id, archived, created, n)
  WHERE deleted IS NULL;
CREATE INDEX sessions_title ON mythline.sessions
  (owner, agent_id, archived, (lower(coalesce(title, opening) COLLATE "C")), n DESC)
  WHERE deleted IS NULL;
CREATE INDEX sessions_pinned ON mythline.sessions (owner, agent_id, archived, n)
  WHERE deleted IS NULL AND pinned;
CREATE INDEX sessions_shared ON mythline.sessions (agent_id, session_id)
  WHERE deleted IS NULL AND shared_id;
CREATE INDEX sessions_trash ON mythline.sessions (owner, agent_id, deleted, n)
  WHERE deleted IS NOT NULL;
CREATE INDEX sessions_expiring ON mythline.sessions (deleted) WHERE deleted IS NOT NULL;
CREATE INDEX sessions_unindexed ON mythline.sessions (owner, agent_id, n)
  WHERE deleted IS NULL AND unindexed;
-- The last of them: of indexes that seem equally good, the planner takes the newest. To one that
-- has no statistics yet of an owner or agent, every index on them seems as good as this.
CREATE UNIQUE INDEX sessions_key ON mythline.sessions (owner, agent_id, session_id)
  WHERE deleted IS NULL;

CREATE TABLE mythline.tags (
  owner      text COLLATE "C" NOT NULL,
  agent_id   text COLLATE "C" NOT NULL,
  session_id text COLLATE "C" NOT NULL,
  n          bigint NOT NULL,
  tag        text COLLATE "C" NOT NULL,
  PRIMARY KEY (owner, agent_id, session_id, n, tag),
  FOREIGN KEY (owner, agent_id, session_id, n) REFERENCES mythline.sessions
    ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX tags_tag ON mythline.tags (owner, agent_id, tag, n);

-- The ends of the branches that sessions left, oldest first by `ord`.
CREATE TABLE mythline.branches (
  owner      text COLLATE "C" NOT NULL,
  agent_id   text COLLATE "C" NOT NULL,
  session_id text COLLATE "C" NOT NULL,
  n          bigint NOT NULL,
  ord        integer NOT NULL,
  entry_id   text COLLATE "C" NOT NULL,
  home       text COLLATE "C" NOT NULL,  -- the session that the entry was made in,
  line       bigint NOT NULL,            -- its line
  place      integer NOT NULL,           -- and its place
  PRIMARY KEY (owner, agent_id, session_id, n, ord),
  FOREIGN KEY (owner, agent_id, session_id, n) REFERENCES mythline.sessions
    ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX branches_entry ON mythline.branches (owner, agent_id, home, line, place);

CREATE TABLE mythline.lines (
  owner         text COLLATE "C" NOT NULL,
  agent_id      text COLLATE "C" NOT NULL,
  session_id    text COLLATE "C" NOT NULL,   -- that it was made in
  line          bigint NOT NULL,
  base          integer NOT NULL DEFAULT 0,  -- how many entries come before its first
  indexed       integer NOT NULL DEFAULT 0,  -- how many of its entries are in the search index;
                                             -- if any is, then all that it follows
  follows_home  text COLLATE "C",            -- the entry before its first, if there is one
  follows_line  bigint,
  follows_place integer,
  follows_id    text COLLATE "C",
  PRIMARY KEY (owner, agent_id, session_id, line)
) WITH (fillfactor = 90);
CREATE INDEX lines_follows ON mythline.lines
  (owner, agent_id, follows_home, follows_line, follows_place) WHERE follows_line IS NOT NULL;

CREATE TABLE mythline.entries (
  owner      text COLLATE "C" NOT NULL,
  agent_id   text COLLATE "C" NOT NULL,
  session_id text COLLATE "C" NOT NULL,  -- that it was made in
  line       bigint NOT NULL,
  place      integer NOT NULL,
  odd        boolean NOT NULL,           -- to be put right before it is read (`messages.is_odd`)
  total      bigint NOT NULL,            -- bytes of the messages from the first to this one
  entry_id   text COLLATE "C" NOT NULL,
  body       bytea NOT NULL,
  PRIMARY KEY (owner, agent_id, session_id, line, place)
);
CREATE UNIQUE INDEX entries_id ON mythline.entries (entry_id, owner, agent_id);

-- The words of entries, to search in: documents.py tells how they stand in `words`. Each has the
-- number of its owner and agent in front, so that a query reads what its own owner has of a word,
-- however much others have of it.
CREATE TABLE mythline.documents (
  owner      text COLLATE "C" NOT NULL,
  agent_id   text COLLATE "C" NOT NULL,
  session_id text COLLATE "C" NOT NULL,
  line       bigint NOT NULL,
  place      integer NOT NULL,
  said       bigint NOT NULL,            -- when
  whole      boolean NOT NULL,           -- whether all its words are there, with their positions
  words      tsvector NOT NULL,
  PRIMARY KEY (owner, agent_id, session_id, line, place),
  FOREIGN KEY (owner, agent_id, session_id, line, place) REFERENCES mythline.entries
    ON DELETE CASCADE
);
CREATE INDEX documents_words ON mythline.documents USING gin (words);

-- Never given twice, and never taken back, so that nobody gets what may be left of another's words.
CREATE SEQUENCE mythline.place_numbers;
CREATE TABLE mythline.places (
  owner    text COLLATE "C" NOT NULL,
  agent_id text COLLATE "C" NOT NULL,
  number   bigint NOT NULL DEFAULT nextval('mythline.place_numbers'),
  PRIMARY KEY (owner, agent_id)
);

CREATE TABLE mythline.search_state (version integer NOT NULL);  -- of the words
INSERT INTO mythline.search_state (version) VALUES (0);

-- Appends that were sent with an Idempotency-Key, for a day.
CREATE TABLE mythline.repeats (
  owner         text COLLATE "C" NOT NULL,
  agent_id      text COLLATE "C" NOT NULL,
  session_id    text COLLATE "C" NOT NULL,
  n             bigint NOT NULL,
  key           text COLLATE "C" NOT NULL,
  digest        bytea NOT NULL,
  saved         bigint NOT NULL,
  revision      text NOT NULL,
  message_count integer NOT NULL,
  entry_ids     text[] NOT NULL,
  PRIMARY KEY (owner, agent_id, session_id, n, key),
  FOREIGN KEY (owner, agent_id, session_id, n) REFERENCES mythline.sessions
    ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX repeats_saved ON mythline.repeats (saved);

-- Sessions that runs hold for themselves, and until when.
CREATE TABLE mythline.leases (
  owner      text COLLATE "C" NOT NULL,
  agent_id   text COLLATE "C" NOT NULL,
  session_id text COLLATE "C" NOT NULL,
  token      text NOT NULL,
  until      timestamptz NOT NULL,
  PRIMARY KEY (owner, agent_id, session_id)
);

-- What happened, for an hour at least. Numbers are given before the commit, so that of two
-- transactions the later number may be seen first: events.py tells how far they are complete.
CREATE SEQUENCE mythline.event_numbers;
CREATE TABLE mythline.events (
  owner      text COLLATE "C" NOT NULL,
  agent_id   text COLLATE "C" NOT NULL,
  session_id text COLLATE "C" NOT NULL,
  n          bigint NOT NULL,
  type       text NOT NULL,
  revision   text,
  time       bigint NOT NULL,
  PRIMARY KEY (owner, n)
);
CREATE INDEX events_time ON mythline.events (time);
CREATE TABLE mythline.events_dropped (n bigint NOT NULL);  -- the last event that isn't kept
INSERT INTO mythline.events_dropped (n) VALUES (0);
