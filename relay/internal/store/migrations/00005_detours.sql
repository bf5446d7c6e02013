-- Detours: by way of a friend's courtyard, when another cannot be reached.

-- +goose Up

-- Whom this relay lets pass: given and withdrawn by its owner.
CREATE TABLE grants (
    host  TEXT   NOT NULL PRIMARY KEY,
    relay BYTEA  NOT NULL,
    until BIGINT NOT NULL, -- ms
    daily BIGINT NOT NULL, -- bytes a day
    day   BIGINT NOT NULL, -- the day that used is of, since 1970
    used  BIGINT NOT NULL
);

-- Who lets this relay pass.
CREATE TABLE detours (
    relay BYTEA  NOT NULL PRIMARY KEY,
    host  TEXT   NOT NULL,
    until BIGINT NOT NULL
);

-- The cards of relays that this one has met: what hop records to them are sealed to.
CREATE TABLE cards (
    relay   BYTEA NOT NULL PRIMARY KEY,
    payload BYTEA NOT NULL,
    sig     BYTEA NOT NULL
);

-- +goose Down
-- There is no way down: an older relay refuses a newer schema.
