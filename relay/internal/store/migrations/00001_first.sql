-- The same text runs on SQLite and PostgreSQL: BIGINT for numbers and times (ms since 1970 UTC),
-- BYTEA for byte strings (SQLite stores them as they are), no engine's own types.

-- +goose Up

-- A username is given once and never again, whatever becomes of the person.
CREATE TABLE names (
    username TEXT   NOT NULL PRIMARY KEY,
    uid      BYTEA  NOT NULL,
    given    BIGINT NOT NULL
);

CREATE TABLE people (
    uid      BYTEA  NOT NULL PRIMARY KEY,
    username TEXT   NOT NULL UNIQUE,
    owner    BIGINT NOT NULL, -- 1: claimed this relay
    findable BIGINT NOT NULL, -- 0: nobody finds this person by name
    card     BIGINT NOT NULL, -- 1: has a recovery card
    joined   BIGINT NOT NULL
);

-- At most one row: the relay has been claimed.
CREATE TABLE claims (
    one BIGINT NOT NULL PRIMARY KEY,
    uid BYTEA  NOT NULL,
    at  BIGINT NOT NULL
);

CREATE TABLE chain (
    uid     BYTEA  NOT NULL,
    seq     BIGINT NOT NULL,
    payload BYTEA  NOT NULL,
    signer  BYTEA  NOT NULL,
    sig     BYTEA  NOT NULL,
    PRIMARY KEY (uid, seq)
);

-- Derived from chain in the same transaction, so that a socket's greeting need not verify a chain.
-- The id alone is no key: anybody can write anybody's public keys into his own chain.
CREATE TABLE devices (
    uid     BYTEA  NOT NULL,
    id      BYTEA  NOT NULL,
    sign    BYTEA  NOT NULL,
    box     BYTEA  NOT NULL,
    role    TEXT   NOT NULL,
    exp     BIGINT NOT NULL,
    revoked BIGINT NOT NULL, -- 1: no more
    seen    BIGINT NOT NULL, -- queue rows up to this n are on this device's disk
    PRIMARY KEY (uid, id)
);

-- A row exists while the person has an active home.
CREATE TABLE homes (
    uid    BYTEA  NOT NULL PRIMARY KEY,
    device BYTEA  NOT NULL,
    online BIGINT NOT NULL,
    since  BIGINT NOT NULL
);

CREATE TABLE ueks (
    uid     BYTEA  NOT NULL PRIMARY KEY,
    counter BIGINT NOT NULL,
    payload BYTEA  NOT NULL,
    signer  BYTEA  NOT NULL,
    sig     BYTEA  NOT NULL
);

CREATE TABLE vaults (
    uid     BYTEA  NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    blob    BYTEA  NOT NULL,
    signer  BYTEA  NOT NULL,
    sig     BYTEA  NOT NULL
);

CREATE TABLE contacts (
    owner BYTEA NOT NULL,
    peer  BYTEA NOT NULL,
    state TEXT  NOT NULL, -- allow or block
    PRIMARY KEY (owner, peer)
);

CREATE TABLE invites (
    hash    BYTEA  NOT NULL PRIMARY KEY,
    uid     BYTEA  NOT NULL,
    card    BYTEA  NOT NULL,
    created BIGINT NOT NULL,
    guest   BYTEA -- who spent it; NULL: open
);
CREATE INDEX invites_of ON invites (uid);

CREATE TABLE handovers (
    box     BYTEA  NOT NULL PRIMARY KEY,
    uid     BYTEA  NOT NULL,
    sealed  BYTEA  NOT NULL,
    expires BIGINT NOT NULL
);

-- What the relay has custody of. n counts per owner, from 1, and is never given twice.
CREATE TABLE queue (
    owner    BYTEA  NOT NULL,
    n        BIGINT NOT NULL,
    sender   BYTEA  NOT NULL,
    id       BYTEA  NOT NULL,
    size     BIGINT NOT NULL,
    stranger BIGINT NOT NULL, -- 1: a request from somebody who is no contact
    received BIGINT NOT NULL,
    env      BYTEA  NOT NULL,
    PRIMARY KEY (owner, n),
    UNIQUE (owner, sender, id)
);
CREATE INDEX queue_strangers ON queue (owner, n) WHERE stranger = 1;

-- used: bytes of queue rows and held files; last: the highest n given.
CREATE TABLE spaces (
    owner BYTEA  NOT NULL PRIMARY KEY,
    last  BIGINT NOT NULL,
    used  BIGINT NOT NULL
);

-- How much of an owner's space one sender fills.
CREATE TABLE shares (
    owner  BYTEA  NOT NULL,
    sender BYTEA  NOT NULL,
    used   BIGINT NOT NULL,
    PRIMARY KEY (owner, sender)
);

-- When somebody who is no contact last asked.
CREATE TABLE requests (
    owner  BYTEA  NOT NULL,
    sender BYTEA  NOT NULL,
    at     BIGINT NOT NULL,
    PRIMARY KEY (owner, sender)
);

CREATE TABLE files (
    id       BYTEA  NOT NULL PRIMARY KEY,
    uploader BYTEA  NOT NULL,
    size     BIGINT NOT NULL,
    have     BIGINT NOT NULL, -- bytes received so far
    created  BIGINT NOT NULL,
    touched  BIGINT NOT NULL
);
CREATE INDEX files_unfinished ON files (touched) WHERE have < size;

CREATE TABLE chunks (
    file  BYTEA  NOT NULL,
    start BIGINT NOT NULL,
    data  BYTEA  NOT NULL,
    PRIMARY KEY (file, start)
);

CREATE TABLE holders (
    owner   BYTEA  NOT NULL,
    file    BYTEA  NOT NULL,
    sender  BYTEA  NOT NULL,
    size    BIGINT NOT NULL,
    created BIGINT NOT NULL,
    seen    BIGINT NOT NULL, -- 1: a device of the owner has had all of it
    PRIMARY KEY (owner, file)
);
CREATE INDEX holders_of ON holders (file);

-- +goose Down
-- There is no way down: an older relay refuses a newer schema.
