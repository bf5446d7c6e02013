-- +goose Up
-- The newest signed record of a pinned daily key: letters are sealed to it while its person's courtyard does not answer.
ALTER TABLE pins ADD COLUMN record BYTEA;

-- Where an envelope says that somebody lives whose chain is not known yet.
CREATE TABLE hints (
  uid  BYTEA    PRIMARY KEY,
  host TEXT    NOT NULL,
  seen BIGINT  NOT NULL
);
CREATE INDEX hints_seen ON hints (seen);

-- Letters of this home's own making that went to another courtyard, the newest: some come back.
CREATE TABLE posted (
  id       BIGINT PRIMARY KEY,
  envelope BYTEA    NOT NULL UNIQUE,
  peer     BYTEA    NOT NULL,
  kind     TEXT    NOT NULL
);

-- +goose Down
DROP TABLE posted;
DROP TABLE hints;
ALTER TABLE pins DROP COLUMN record;
