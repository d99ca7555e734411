-- When another program last wrote the session's view; NULL: none did. Microseconds.
ALTER TABLE sessions ADD COLUMN view_foreign INTEGER;
