-- From version 2 to 3: what does not count stays in sight, filled as every record is merged anew and as logs that forked
-- are settled at the next start.

ALTER TABLE records ADD COLUMN held INTEGER;
ALTER TABLE records ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN again BLOB;
CREATE INDEX records_held ON records (held) WHERE held IS NOT NULL;
CREATE INDEX records_lost ON records (lost) WHERE lost > 0;

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
INSERT OR IGNORE INTO stale (record) SELECT id FROM records;
