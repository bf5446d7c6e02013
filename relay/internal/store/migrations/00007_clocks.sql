-- Letters whose writer's own clock says that they are dated ahead.

-- +goose Up

ALTER TABLE outbound ADD COLUMN unsure BIGINT NOT NULL DEFAULT 0;

-- +goose Down
-- There is no way down: an older relay refuses a newer schema.
