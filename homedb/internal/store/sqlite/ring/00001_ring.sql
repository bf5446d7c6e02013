-- +goose Up
-- The daily keys that letters are sealed to (section 4).
CREATE TABLE ueks (
  public  BLOB    PRIMARY KEY,
  counter INTEGER NOT NULL,
  secret  BLOB    NOT NULL,
  ts      INTEGER NOT NULL, -- of the record
  issued  INTEGER NOT NULL  -- since when the relay serves the record; 0: not that we know
);

-- +goose Down
DROP TABLE ueks;
