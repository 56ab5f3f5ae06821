-- From version 6 to 7: rows say what of a record is kept from whom; a draft that was thrown away can be taken back.

ALTER TABLE drafts ADD COLUMN trashed_ms INTEGER;
CREATE TABLE apart (
    one   BLOB NOT NULL,
    other BLOB NOT NULL,
    PRIMARY KEY (one, other)
) STRICT, WITHOUT ROWID;
-- From version 6 to 7: messages, which take the place of values that were not kept. What happened before is no news.

DROP TABLE IF EXISTS unkept;
INSERT OR IGNORE INTO meta (key, value)
    VALUES ('inbox_since', CAST(CAST(unixepoch() * 1000 AS TEXT) AS BLOB));
