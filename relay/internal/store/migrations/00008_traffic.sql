-- What is relayed between people who cannot reach each other directly (section 17).

-- +goose Up

CREATE TABLE traffic (
    month TEXT   NOT NULL, -- 2026-10
    uid   BYTEA  NOT NULL, -- for whom
    bytes BIGINT NOT NULL, -- to peers and from them, of this month and the one before
    PRIMARY KEY (month, uid)
);

-- +goose Down
-- There is no way down: an older relay refuses a newer schema.
