-- Friends at other courtyards: what waits here to be passed on, and who lives where.

-- +goose Up

-- What this relay has custody of for people elsewhere. n is never given twice.
CREATE TABLE outbound (
    n         BIGINT NOT NULL PRIMARY KEY,
    host      TEXT   NOT NULL, -- host[:port] of the relay it goes to
    sender    BYTEA  NOT NULL, -- lives here
    recipient BYTEA  NOT NULL, -- lives there
    id        BYTEA  NOT NULL, -- of the envelope, or of the file
    file      BIGINT NOT NULL, -- 1: a file, whose bytes are in chunks
    size      BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    env       BYTEA  NOT NULL, -- empty for a file
    UNIQUE (sender, recipient, id)
);
CREATE INDEX outbound_lane ON outbound (host, recipient, n);
CREATE INDEX outbound_files ON outbound (id) WHERE file = 1;

-- One row: the highest n of outbound given so far.
CREATE TABLE outbound_last (
    one  BIGINT NOT NULL PRIMARY KEY,
    last BIGINT NOT NULL
);
INSERT INTO outbound_last (one, last) VALUES (1, 0);

-- The newest place seen in the chain of somebody who lives elsewhere, and the relay it names there.
CREATE TABLE pins (
    uid   BYTEA  NOT NULL PRIMARY KEY,
    seq   BIGINT NOT NULL,
    head  BYTEA  NOT NULL,
    relay BYTEA  NOT NULL,
    at    BIGINT NOT NULL
);

-- By which relay a row came; NULL: from somebody who lives here.
ALTER TABLE queue ADD COLUMN via BYTEA;

-- +goose Down
-- There is no way down: an older relay refuses a newer schema.
