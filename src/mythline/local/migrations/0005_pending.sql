-- Files that were noted and are yet to be read: looked for before each search and count.
CREATE INDEX sessions_pending ON sessions (owner, agent_id, session_id)
  WHERE deleted IS NULL AND pending = 1;
