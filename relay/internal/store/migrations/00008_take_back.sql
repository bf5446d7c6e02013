-- What is needed to know that something which waits here has not arrived over there.

-- +goose Up

-- 1: it was on a line that ended before an answer came.
ALTER TABLE outbound ADD COLUMN lost BIGINT NOT NULL DEFAULT 0;

-- Courtyards with which there is a line. Those found at a start are of a relay that crashed.
CREATE TABLE lines (
    host TEXT NOT NULL PRIMARY KEY
);

-- +goose Down
-- There is no way down: an older relay refuses a newer schema.
