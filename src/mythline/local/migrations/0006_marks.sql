-- What a save changes with each turn is in as few indexes as will do: a page of each is written.

-- The line of the head. Unlike the head, it stays the same while a history grows.
ALTER TABLE sessions ADD COLUMN line INTEGER CHECK (line = head >> 20);
-- Whether the view shows something else than the head: set once, however many saves follow.
ALTER TABLE sessions ADD COLUMN stale INTEGER NOT NULL DEFAULT 1
  CHECK (stale = 1 OR head IS view_head);
UPDATE sessions SET line = head >> 20, stale = head IS NOT view_head;

DROP INDEX sessions_head;
CREATE INDEX sessions_line ON sessions (line);
DROP INDEX sessions_stale;
CREATE INDEX sessions_stale ON sessions (n)
  WHERE stale = 1 AND deleted IS NULL AND pending = 0;
