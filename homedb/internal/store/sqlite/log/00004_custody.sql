-- +goose Up
-- What a letter of this home's own making was for, so that it can be written again: the items of a receipt (mid 16 | hash 32
-- each), or what the errand was about.
ALTER TABLE posted ADD COLUMN about BLOB;

-- +goose Down
ALTER TABLE posted DROP COLUMN about;
