-- +goose Up
-- One row: which database this is, and how far the log has grown.
CREATE TABLE log (
  one      BIGINT PRIMARY KEY CHECK (one = 1),
  epoch    BYTEA    NOT NULL,
  n        BIGINT NOT NULL,
  messages BIGINT NOT NULL,
  since    BIGINT NOT NULL
);

-- uids and device ids, so that rows and indexes carry small numbers. 1 is the log's own person.
CREATE TABLE names (
  id  BIGINT PRIMARY KEY,
  key BYTEA    NOT NULL UNIQUE
);

-- What was written and received, in the order of its arrival here, with the original proof.
CREATE TABLE events (
  n             BIGINT PRIMARY KEY,
  peer          BIGINT NOT NULL,
  author        BIGINT NOT NULL,
  dev           BIGINT NOT NULL,
  mid           BYTEA    NOT NULL,
  type          TEXT    NOT NULL,
  kind          TEXT    NOT NULL,
  clock         BIGINT NOT NULL,
  ts            BIGINT NOT NULL,
  received      BIGINT NOT NULL,
  envelope      BYTEA    NOT NULL,
  proof         BYTEA    NOT NULL, -- H 32 | SHA-256(prefix) 32 | auth
  meta          BYTEA    NOT NULL,
  body          BYTEA,             -- NULL once its author deleted it
  hash          BYTEA    NOT NULL,
  target        BYTEA,             -- the message this one edits, deletes or reacts to
  target_author BIGINT,
  shown         BIGINT NOT NULL, -- 1: a message on the screen; 2: the edit, deletion or reaction in force; 0: neither
  home          BIGINT NOT NULL  -- when the friend's home had it; 0: not known
);
CREATE UNIQUE INDEX events_mid ON events (mid, author);
CREATE INDEX events_envelope ON events (envelope) WHERE author = 1;
CREATE INDEX events_page ON events (peer, clock, mid) WHERE shown = 1;
CREATE INDEX events_target ON events (target, shown) WHERE target IS NOT NULL;

-- The newest of its sort in each conversation: last (message; author 0), read, profile, friend.
CREATE TABLE marks (
  peer     BIGINT NOT NULL,
  author   BIGINT NOT NULL,
  sort     TEXT    NOT NULL,
  clock    BIGINT NOT NULL, -- of a read mark: up to which message; of a profile: its version
  mid      BYTEA    NOT NULL,
  received BIGINT NOT NULL,
  n        BIGINT NOT NULL,
  PRIMARY KEY (peer, author, sort)
);

-- Letters by which one's own messages travelled when they were sealed again.
CREATE TABLE versions (
  mid      BYTEA    NOT NULL,
  hash     BYTEA    NOT NULL,
  envelope BYTEA    NOT NULL,
  uek      BIGINT NOT NULL, -- counter of the friend's key, where this home sealed it; 0: a device did
  PRIMARY KEY (mid, hash)
);
CREATE INDEX versions_envelope ON versions (envelope);

-- Home receipts that came before the message they are about.
CREATE TABLE ticks (
  peer     BIGINT NOT NULL,
  mid      BYTEA    NOT NULL,
  hash     BYTEA    NOT NULL,
  received BIGINT NOT NULL,
  PRIMARY KEY (peer, mid, hash)
);

-- Letters in custody that could not be opened, as they came.
CREATE TABLE held (
  id       BIGINT PRIMARY KEY,
  sender   BYTEA    NOT NULL,
  envelope BYTEA    NOT NULL,
  reason   TEXT    NOT NULL, -- chain, fork, key, invalid
  raw      BYTEA    NOT NULL,
  received BIGINT NOT NULL,
  tries    BIGINT NOT NULL,
  due      BIGINT NOT NULL, -- when to try again; 0: not by itself
  UNIQUE (sender, envelope)
);
CREATE INDEX held_due ON held (due) WHERE due > 0;
CREATE INDEX held_reason ON held (reason, id);

-- Home receipts owed to friends.
CREATE TABLE receipts (
  peer BYTEA    NOT NULL,
  mid  BYTEA    NOT NULL,
  hash BYTEA    NOT NULL,
  due  BIGINT NOT NULL,
  PRIMARY KEY (peer, mid, hash)
);

-- Single letters owed: stale (ref: envelope id), reseal (ref: envelope id), accept (ref: mid of the joined letter).
CREATE TABLE errands (
  kind  TEXT    NOT NULL,
  peer  BYTEA    NOT NULL,
  ref   BYTEA    NOT NULL,
  made  BIGINT NOT NULL,
  tries BIGINT NOT NULL,
  due   BIGINT NOT NULL,
  PRIMARY KEY (kind, peer, ref)
);
CREATE INDEX errands_due ON errands (due);

-- What is known and pinned of people's chains and daily keys.
CREATE TABLE pins (
  uid     BYTEA    PRIMARY KEY,
  seq     BIGINT NOT NULL,
  head    BYTEA    NOT NULL,
  fork    BIGINT NOT NULL, -- since when the relay shows another chain; 0: it does not
  uek     BIGINT NOT NULL, -- highest counter seen; 0: none
  uek_key BYTEA
);
CREATE TABLE chains (
  uid    BYTEA    NOT NULL,
  seq    BIGINT NOT NULL,
  record BYTEA    NOT NULL,
  PRIMARY KEY (uid, seq)
);

-- The person's vault at the relay: the highest version seen.
CREATE TABLE safe (
  one     BIGINT PRIMARY KEY CHECK (one = 1),
  version BIGINT NOT NULL
);

-- Files that letters name.
CREATE TABLE files (
  author   BYTEA    NOT NULL,
  id       BYTEA    NOT NULL,
  mid      BYTEA    NOT NULL,
  peer     BYTEA    NOT NULL,
  key      BYTEA    NOT NULL,
  size     BIGINT NOT NULL, -- of the plaintext
  hash     BYTEA    NOT NULL,
  state    TEXT    NOT NULL, -- wanted, have, gone, bad
  tries    BIGINT NOT NULL,
  due      BIGINT NOT NULL,
  PRIMARY KEY (author, id)
);
CREATE INDEX files_due ON files (due) WHERE state = 'wanted';
CREATE INDEX files_mid ON files (mid, author);
CREATE INDEX files_id ON files (id);

-- Sealed bytes of files that the relay may drop.
CREATE TABLE drops (
  id    BYTEA    PRIMARY KEY,
  tries BIGINT NOT NULL,
  due   BIGINT NOT NULL
);

-- How far the relay's keep has been taken over.
CREATE TABLE takeover (
  one    BIGINT PRIMARY KEY CHECK (one = 1),
  state  TEXT    NOT NULL, -- keep, vault, done
  before BIGINT NOT NULL  -- rows from here on are in the log; 0: none yet
);

-- +goose Down
DROP TABLE takeover;
DROP TABLE drops;
DROP TABLE files;
DROP TABLE safe;
DROP TABLE chains;
DROP TABLE pins;
DROP TABLE errands;
DROP TABLE receipts;
DROP TABLE held;
DROP TABLE ticks;
DROP TABLE versions;
DROP TABLE marks;
DROP TABLE events;
DROP TABLE names;
DROP TABLE log;
