-- +goose Up
-- The person's own public wall: how far it has been read to its end. At most one row.
CREATE TABLE wall (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  seq     INTEGER NOT NULL,
  hash    BLOB    NOT NULL,
  ts      INTEGER NOT NULL,
  payload BLOB    NOT NULL,
  signer  BLOB    NOT NULL,
  sig     BLOB    NOT NULL
);

-- Its changes. Those above wall.seq are being read and do not count yet.
CREATE TABLE wall_changes (
  seq     INTEGER PRIMARY KEY,
  hash    BLOB    NOT NULL,
  payload BLOB,              -- NULL: the author has taken it back
  signer  BLOB,
  sig     BLOB
);

-- Which changes name which photo.
CREATE TABLE wall_named (
  hash BLOB    NOT NULL,
  seq  INTEGER NOT NULL,
  PRIMARY KEY (hash, seq)
);
CREATE INDEX wall_named_by ON wall_named (seq);

-- The photos.
CREATE TABLE wall_media (
  hash  BLOB    PRIMARY KEY,
  size  INTEGER NOT NULL,
  data  BLOB,              -- NULL: to be fetched
  tries INTEGER NOT NULL,
  due   INTEGER NOT NULL
);
CREATE INDEX wall_media_due ON wall_media (due) WHERE data IS NULL;

-- +goose Down
DROP TABLE wall_media;
DROP TABLE wall_named;
DROP TABLE wall_changes;
DROP TABLE wall;
