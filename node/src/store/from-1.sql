-- From version 1 to 2: what records refer to is a table of its own, filled as every record is merged anew.

-- What the four words are taken from that two people compare after a device has joined.
CREATE TABLE words (
    device BLOB PRIMARY KEY NOT NULL,
    digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE mentions (
    record INTEGER NOT NULL,
    field  TEXT NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (record, field, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX mentions_target ON mentions (target, field);
INSERT OR IGNORE INTO stale (record) SELECT id FROM records;
