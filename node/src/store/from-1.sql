-- From version 1 to 2.

-- What the four words are taken from that two people compare after a device has joined.
CREATE TABLE words (
    device BLOB PRIMARY KEY NOT NULL,
    digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;
