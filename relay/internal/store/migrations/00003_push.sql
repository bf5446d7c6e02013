-- +goose Up

-- Where a device's browser is woken (section 16).
CREATE TABLE pushes (
    uid      BYTEA  NOT NULL,
    device   BYTEA  NOT NULL,
    endpoint TEXT   NOT NULL UNIQUE,
    p256dh   BYTEA  NOT NULL,
    auth     BYTEA  NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (uid, device)
);

-- Whose letters wake nobody of owner's devices.
CREATE TABLE push_mutes (
    owner BYTEA NOT NULL,
    peer  BYTEA NOT NULL,
    PRIMARY KEY (owner, peer)
);

-- 1: nobody need be woken for it, wherever it goes.
ALTER TABLE outbound ADD COLUMN quiet BIGINT NOT NULL DEFAULT 0;

-- +goose Down
-- There is no way down: an older relay refuses a newer schema.
