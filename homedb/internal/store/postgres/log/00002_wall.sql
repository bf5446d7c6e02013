-- +goose Up
-- The person's own public wall: how far it has been read to its end. At most one row.
CREATE TABLE wall (
  one     BIGINT PRIMARY KEY CHECK (one = 1),
  seq     BIGINT NOT NULL,
  hash    BYTEA    NOT NULL,
  ts      BIGINT NOT NULL,
  payload BYTEA    NOT NULL,
  signer  BYTEA    NOT NULL,
  sig     BYTEA    NOT NULL
);

-- Its changes. Those above wall.seq are being read and do not count yet.
CREATE TABLE wall_changes (
  seq     BIGINT PRIMARY KEY,
  hash    BYTEA    NOT NULL,
  payload BYTEA,              -- NULL: the author has taken it back
  signer  BYTEA,
  sig     BYTEA
);

-- Which changes name which photo.
CREATE TABLE wall_named (
  hash BYTEA    NOT NULL,
  seq  BIGINT NOT NULL,
  PRIMARY KEY (hash, seq)
);
CREATE INDEX wall_named_by ON wall_named (seq);

-- The photos.
CREATE TABLE wall_media (
  hash  BYTEA    PRIMARY KEY,
  size  BIGINT NOT NULL,
  data  BYTEA,              -- NULL: to be fetched
  tries BIGINT NOT NULL,
  due   BIGINT NOT NULL
);
CREATE INDEX wall_media_due ON wall_media (due) WHERE data IS NULL;

-- +goose Down
DROP TABLE wall_media;
DROP TABLE wall_named;
DROP TABLE wall_changes;
DROP TABLE wall;
