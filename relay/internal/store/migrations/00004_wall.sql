-- Public walls (section 15).

-- +goose Up

-- A row exists once somebody has a wall: the newest head, and its place.
CREATE TABLE walls (
    uid     BYTEA  NOT NULL PRIMARY KEY,
    seq     BIGINT NOT NULL,
    hash    BYTEA  NOT NULL,
    ts      BIGINT NOT NULL,
    payload BYTEA  NOT NULL,
    signer  BYTEA  NOT NULL,
    sig     BYTEA  NOT NULL
);

-- One row for each change, for ever; payload, signer and sig until its content is gone.
CREATE TABLE changes (
    uid      BYTEA  NOT NULL,
    seq      BIGINT NOT NULL,
    hash     BYTEA  NOT NULL,
    op       TEXT   NOT NULL,
    post     BYTEA  NOT NULL, -- the post's id, 16 zeros for the profile
    ts       BIGINT NOT NULL,
    first    BIGINT NOT NULL, -- place of the post on the wall while this change shows it, else 0
    received BIGINT NOT NULL,
    size     BIGINT NOT NULL, -- counted in the person's space; 0: gone
    payload  BYTEA,
    signer   BYTEA,
    sig      BYTEA,
    PRIMARY KEY (uid, seq)
);
CREATE INDEX changes_of ON changes (uid, post, seq);
CREATE INDEX changes_shown ON changes (uid, first) WHERE first > 0;

CREATE TABLE media (
    uid     BYTEA  NOT NULL, -- whose space it is in
    hash    BYTEA  NOT NULL,
    size    BIGINT NOT NULL,
    width   BIGINT NOT NULL,
    height  BIGINT NOT NULL,
    created BIGINT NOT NULL,
    data    BYTEA  NOT NULL,
    PRIMARY KEY (uid, hash)
);
CREATE INDEX media_by_hash ON media (hash);
CREATE INDEX media_by_age ON media (created);

-- Which changes that have their content name which photo.
CREATE TABLE named (
    uid  BYTEA  NOT NULL,
    hash BYTEA  NOT NULL,
    seq  BIGINT NOT NULL,
    PRIMARY KEY (uid, hash, seq)
);
CREATE INDEX named_by ON named (uid, seq);

-- +goose Down
-- There is no way down: an older relay refuses a newer schema.
