-- +goose Up
-- One row: which database this is, and how far the log has grown.
CREATE TABLE log (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  epoch    BLOB    NOT NULL,
  n        INTEGER NOT NULL,
  messages INTEGER NOT NULL,
  since    INTEGER NOT NULL
);

-- uids and device ids, so that rows and indexes carry small numbers. 1 is the log's own person.
CREATE TABLE names (
  id  INTEGER PRIMARY KEY,
  key BLOB    NOT NULL UNIQUE
);

-- What was written and received, in the order of its arrival here, with the original proof.
CREATE TABLE events (
  n             INTEGER PRIMARY KEY,
  peer          INTEGER NOT NULL,
  author        INTEGER NOT NULL,
  dev           INTEGER NOT NULL,
  mid           BLOB    NOT NULL,
  type          TEXT    NOT NULL,
  kind          TEXT    NOT NULL,
  clock         INTEGER NOT NULL,
  ts            INTEGER NOT NULL,
  received      INTEGER NOT NULL,
  envelope      BLOB    NOT NULL,
  proof         BLOB    NOT NULL, -- H 32 | SHA-256(prefix) 32 | auth
  meta          BLOB    NOT NULL,
  body          BLOB,             -- NULL once its author deleted it
  hash          BLOB    NOT NULL,
  target        BLOB,             -- the message this one edits, deletes or reacts to
  target_author INTEGER,
  shown         INTEGER NOT NULL, -- 1: a message on the screen; 2: the edit, deletion or reaction in force; 0: neither
  home          INTEGER NOT NULL  -- when the friend's home had it; 0: not known
);
CREATE UNIQUE INDEX events_mid ON events (mid, author);
CREATE INDEX events_envelope ON events (envelope) WHERE author = 1;
CREATE INDEX events_page ON events (peer, clock, mid) WHERE shown = 1;
CREATE INDEX events_target ON events (target, shown) WHERE target IS NOT NULL;

-- The newest of its sort in each conversation: last (message; author 0), read, profile, friend.
CREATE TABLE marks (
  peer     INTEGER NOT NULL,
  author   INTEGER NOT NULL,
  sort     TEXT    NOT NULL,
  clock    INTEGER NOT NULL, -- of a read mark: up to which message; of a profile: its version
  mid      BLOB    NOT NULL,
  received INTEGER NOT NULL,
  n        INTEGER NOT NULL,
  PRIMARY KEY (peer, author, sort)
);

-- Letters by which one's own messages travelled when they were sealed again.
CREATE TABLE versions (
  mid      BLOB    NOT NULL,
  hash     BLOB    NOT NULL,
  envelope BLOB    NOT NULL,
  uek      INTEGER NOT NULL, -- counter of the friend's key, where this home sealed it; 0: a device did
  PRIMARY KEY (mid, hash)
);
CREATE INDEX versions_envelope ON versions (envelope);

-- Home receipts that came before the message they are about.
CREATE TABLE ticks (
  peer     INTEGER NOT NULL,
  mid      BLOB    NOT NULL,
  hash     BLOB    NOT NULL,
  received INTEGER NOT NULL,
  PRIMARY KEY (peer, mid, hash)
);

-- Letters in custody that could not be opened, as they came.
CREATE TABLE held (
  id       INTEGER PRIMARY KEY,
  sender   BLOB    NOT NULL,
  envelope BLOB    NOT NULL,
  reason   TEXT    NOT NULL, -- chain, fork, key, invalid
  raw      BLOB    NOT NULL,
  received INTEGER NOT NULL,
  tries    INTEGER NOT NULL,
  due      INTEGER NOT NULL, -- when to try again; 0: not by itself
  UNIQUE (sender, envelope)
);
CREATE INDEX held_due ON held (due) WHERE due > 0;
CREATE INDEX held_reason ON held (reason, id);

-- Home receipts owed to friends.
CREATE TABLE receipts (
  peer BLOB    NOT NULL,
  mid  BLOB    NOT NULL,
  hash BLOB    NOT NULL,
  due  INTEGER NOT NULL,
  PRIMARY KEY (peer, mid, hash)
);

-- Single letters owed: stale (ref: envelope id), reseal (ref: envelope id), accept (ref: mid of the joined letter).
CREATE TABLE errands (
  kind  TEXT    NOT NULL,
  peer  BLOB    NOT NULL,
  ref   BLOB    NOT NULL,
  made  INTEGER NOT NULL,
  tries INTEGER NOT NULL,
  due   INTEGER NOT NULL,
  PRIMARY KEY (kind, peer, ref)
);
CREATE INDEX errands_due ON errands (due);

-- What is known and pinned of people's chains and daily keys.
CREATE TABLE pins (
  uid     BLOB    PRIMARY KEY,
  seq     INTEGER NOT NULL,
  head    BLOB    NOT NULL,
  fork    INTEGER NOT NULL, -- since when the relay shows another chain; 0: it does not
  uek     INTEGER NOT NULL, -- highest counter seen; 0: none
  uek_key BLOB
);
CREATE TABLE chains (
  uid    BLOB    NOT NULL,
  seq    INTEGER NOT NULL,
  record BLOB    NOT NULL,
  PRIMARY KEY (uid, seq)
);

-- The person's vault at the relay: the highest version seen.
CREATE TABLE safe (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  version INTEGER NOT NULL
);

-- Files that letters name.
CREATE TABLE files (
  author   BLOB    NOT NULL,
  id       BLOB    NOT NULL,
  mid      BLOB    NOT NULL,
  peer     BLOB    NOT NULL,
  key      BLOB    NOT NULL,
  size     INTEGER NOT NULL, -- of the plaintext
  hash     BLOB    NOT NULL,
  state    TEXT    NOT NULL, -- wanted, have, gone, bad
  tries    INTEGER NOT NULL,
  due      INTEGER NOT NULL,
  PRIMARY KEY (author, id)
);
CREATE INDEX files_due ON files (due) WHERE state = 'wanted';
CREATE INDEX files_mid ON files (mid, author);
CREATE INDEX files_id ON files (id);

-- Sealed bytes of files that the relay may drop.
CREATE TABLE drops (
  id    BLOB    PRIMARY KEY,
  tries INTEGER NOT NULL,
  due   INTEGER NOT NULL
);

-- How far the relay's keep has been taken over.
CREATE TABLE takeover (
  one    INTEGER PRIMARY KEY CHECK (one = 1),
  state  TEXT    NOT NULL, -- keep, vault, done
  before INTEGER NOT NULL  -- rows from here on are in the log; 0: none yet
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
