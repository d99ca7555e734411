-- Which messages must be put right before they are read (`messages.is_odd`), so that a load need
-- not look through them. Whoever changes what is odd adds a migration that finds it out anew.

ALTER TABLE entries ADD COLUMN odd INTEGER NOT NULL DEFAULT 0;
UPDATE entries SET odd = 1 WHERE is_odd(body);
CREATE INDEX entries_odd ON entries (n) WHERE odd;
