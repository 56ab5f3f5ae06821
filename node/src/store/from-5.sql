-- From version 5 to 6: steps on several records at once, and what was told of values that were not kept.

CREATE TABLE bulks (
    id      TEXT PRIMARY KEY NOT NULL,
    account TEXT NOT NULL,
    event   TEXT NOT NULL,
    input   TEXT NOT NULL,
    records TEXT NOT NULL,
    due_ms  INTEGER NOT NULL,
    refused TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE noticed (
    change BLOB PRIMARY KEY NOT NULL
) STRICT, WITHOUT ROWID;
