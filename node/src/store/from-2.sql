-- From version 2 to 3: what does not count stays in sight, filled as every record is merged anew and as logs that forked
-- are settled at the next start; and damage stays where it is.

ALTER TABLE records ADD COLUMN held INTEGER;
ALTER TABLE records ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN again BLOB;
ALTER TABLE records ADD COLUMN arrived INTEGER NOT NULL DEFAULT 9223372036854775807;
CREATE INDEX records_arrived ON records (arrived, record);
CREATE INDEX arrivals_len ON arrivals (log, len);
CREATE INDEX records_former ON records (json_extract(facts, '$.former_number'));
CREATE INDEX records_held ON records (held) WHERE held IS NOT NULL;
CREATE INDEX records_lost ON records (lost) WHERE lost > 0;

-- Numbers that more than one record has that counts.
CREATE TABLE twice (
    number TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- Which runs of branches that are not in place speak of a record: head names the run, beside its first entry that is
-- not in place.
CREATE TABLE aside (
    record INTEGER NOT NULL,
    log    INTEGER NOT NULL,
    head   BLOB NOT NULL,
    beside INTEGER NOT NULL,
    PRIMARY KEY (record, log, head)
) STRICT, WITHOUT ROWID;
CREATE INDEX aside_log ON aside (log);

-- What changes of a record write again: the id of a record, or the beginning of a change's digest; device is who says
-- so, hlc when by its hybrid clock. stands is 0 where another record stands in the place of this one.
CREATE TABLE rewrites (
    old    BLOB NOT NULL,
    device BLOB NOT NULL,
    record INTEGER NOT NULL,
    hlc    INTEGER NOT NULL,
    stands INTEGER NOT NULL,
    PRIMARY KEY (old, device, record)
) STRICT, WITHOUT ROWID;
CREATE INDEX rewrites_record ON rewrites (record);

-- Entries in place that do not count and that their own device has written again: nobody waits for them.
CREATE TABLE rewritten (
    entry  INTEGER PRIMARY KEY,
    record INTEGER NOT NULL
) STRICT;
CREATE INDEX rewritten_record ON rewritten (record);

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

-- Records that could not be read when they were to be merged.
CREATE TABLE unread (
    record INTEGER PRIMARY KEY
) STRICT;

INSERT OR IGNORE INTO stale (record) SELECT id FROM records;
