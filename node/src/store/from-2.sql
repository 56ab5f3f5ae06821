-- From version 2 to 3: damage stays where it is.

-- Logs that were cut because something in them could not be read, each with the length that it had, until it is as long
-- again; unreadable are those of which the database cannot read a page, which stay where they are.
CREATE TABLE damaged_logs (
    log        BLOB PRIMARY KEY NOT NULL,
    len        INTEGER NOT NULL,
    unreadable INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- What was taken out of them, as it lay there: segments from seq on, and single parts.
CREATE TABLE damaged_rows (
    log   BLOB NOT NULL,
    seq   INTEGER NOT NULL,
    part  INTEGER NOT NULL,
    start BLOB NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (log, seq, part)
) STRICT;
