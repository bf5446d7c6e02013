-- +goose Up
-- The newest signed record of a pinned daily key: letters are sealed to it while its person's courtyard does not answer.
ALTER TABLE pins ADD COLUMN record BLOB;

-- Where an envelope says that somebody lives whose chain is not known yet.
CREATE TABLE hints (
  uid  BLOB    PRIMARY KEY,
  host TEXT    NOT NULL,
  seen INTEGER NOT NULL
);
CREATE INDEX hints_seen ON hints (seen);

-- Letters of this home's own making that went to another courtyard, the newest: some come back.
CREATE TABLE posted (
  id       INTEGER PRIMARY KEY,
  envelope BLOB    NOT NULL UNIQUE,
  peer     BLOB    NOT NULL,
  kind     TEXT    NOT NULL
);

-- +goose Down
DROP TABLE posted;
DROP TABLE hints;
ALTER TABLE pins DROP COLUMN record;
