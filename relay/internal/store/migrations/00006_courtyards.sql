-- Which other courtyards the owner, and each person, deals with.

-- +goose Up

CREATE TABLE courtyards (
    owner BYTEA  NOT NULL, -- whose list; empty: the relay's own, which binds everybody
    host  TEXT   NOT NULL,
    state TEXT   NOT NULL, -- block or allow
    at    BIGINT NOT NULL,
    PRIMARY KEY (owner, host)
);

-- The relay keys seen under a host, so that a new name does not help who is refused.
CREATE TABLE courtyard_keys (
    host   TEXT   NOT NULL,
    relay  BYTEA  NOT NULL,
    proved BIGINT NOT NULL, -- 1: this relay dialled the host and met the key; 0: the relay with the key called, and said so
    at     BIGINT NOT NULL,
    PRIMARY KEY (host, relay)
);
CREATE INDEX courtyard_keys_of ON courtyard_keys (relay);

-- To count who has friends where.
CREATE INDEX pins_of ON pins (relay);
CREATE INDEX contacts_of ON contacts (peer);

-- At most one row: whether only the courtyards on the relay's list are dealt with.
CREATE TABLE courtyards_only (
    one    BIGINT NOT NULL PRIMARY KEY,
    listed BIGINT NOT NULL
);

-- +goose Down
-- There is no way down: an older relay refuses a newer schema.
