-- Version 9. Primary here are: meta, accounts with logins, links, drafts and bulks, counters, submissions,
-- invites, words, receipts, peers and, above all, logs with segments and parts. Everything below the
-- line is rebuilt from those by `reproject`.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) STRICT;

-- Who acts on this device. The id is what changes carry; the name stays here. password is an argon2id
-- string (PHC format), absent until one is set; taste is how the person wants pages to look, as JSON; roles the letters of
-- the roles that were given, NULL for all that the device's grant permits.
CREATE TABLE accounts (
    id       INTEGER PRIMARY KEY,
    account  TEXT NOT NULL UNIQUE,
    name     TEXT NOT NULL UNIQUE,
    password TEXT,
    taste    TEXT NOT NULL DEFAULT '{}',
    roles    TEXT
) STRICT;

-- Browsers that are logged in, by the hash of their cookie.
CREATE TABLE logins (
    token   BLOB PRIMARY KEY NOT NULL,
    account TEXT NOT NULL,
    seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Links that log in once, by the hash of their secret.
CREATE TABLE links (
    token      BLOB PRIMARY KEY NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What is being typed and not registered yet. The id becomes the submission id, so that a draft is
-- registered once whatever is clicked twice. window is the one that kept it last.
CREATE TABLE drafts (
    id         TEXT PRIMARY KEY NOT NULL,
    account    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    typed      TEXT NOT NULL,
    updated_ms INTEGER NOT NULL,
    window     TEXT NOT NULL,
    trashed_ms INTEGER
) STRICT, WITHOUT ROWID;

-- Pairs of records that somebody here has said are not the same matter, the smaller id first.
CREATE TABLE apart (
    one   BLOB NOT NULL,
    other BLOB NOT NULL,
    PRIMARY KEY (one, other)
) STRICT, WITHOUT ROWID;

-- Steps that somebody takes on several records at once, and may take back until due_ms. records are ids, input what the step
-- carries, both as JSON; refused, once it was carried out, the records that it was not possible for, each with a code.
CREATE TABLE bulks (
    id      TEXT PRIMARY KEY NOT NULL,
    account TEXT NOT NULL,
    event   TEXT NOT NULL,
    input   TEXT NOT NULL,
    records TEXT NOT NULL,
    due_ms  INTEGER NOT NULL,
    refused TEXT
) STRICT, WITHOUT ROWID;

-- Messages that were read: the change that one is told of, and the account if it is one person's.
CREATE TABLE noticed (
    change BLOB PRIMARY KEY NOT NULL
) STRICT, WITHOUT ROWID;

-- Last number given, per kind of record and Beijing year. Never set back.
CREATE TABLE counters (
    kind  TEXT NOT NULL,
    year  INTEGER NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (kind, year)
) STRICT, WITHOUT ROWID;

-- A retry with the same submission id and the same content, which is kept as its digest, finds the record that the first try
-- made or changed.
CREATE TABLE submissions (
    submission TEXT PRIMARY KEY NOT NULL,
    record     BLOB NOT NULL,
    content    BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Hub: the key with which it proves that it made an invite. It enrols nobody.
CREATE TABLE invites (
    key   BLOB PRIMARY KEY NOT NULL,
    proof BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What the four words are taken from that two people compare after a device has joined.
CREATE TABLE words (
    device BLOB PRIMARY KEY NOT NULL,
    digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- When and how a device was last spoken to.
CREATE TABLE peers (
    device       BLOB PRIMARY KEY NOT NULL,
    last_seen_ms INTEGER NOT NULL,
    path         TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX peers_seen ON peers (last_seen_ms);

-- One row a log. len and head are what is stored; of a log that forked, tip_len and tip_head are how far it counts; first_len and first_head what its genesis cites of the
-- authority log, authority_len what its last entry cites; indexed_len is how far touches know it; judged_len how
-- far its records have been merged since.
CREATE TABLE logs (
    id            INTEGER PRIMARY KEY,
    log           BLOB NOT NULL UNIQUE,
    space         BLOB NOT NULL,
    device        BLOB NOT NULL,
    len           INTEGER NOT NULL,
    head          BLOB NOT NULL,
    authority_len INTEGER NOT NULL,
    first_len     INTEGER NOT NULL,
    first_head    BLOB NOT NULL,
    last_first    INTEGER NOT NULL,
    forked_at     INTEGER,
    tip_len       INTEGER,
    tip_head      BLOB,
    indexed_len   INTEGER NOT NULL DEFAULT 0,
    judged_len    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Runs of at most 64 entries, packed. The key is (log << 40 | first entry).
CREATE TABLE segments (
    entry INTEGER PRIMARY KEY,
    count INTEGER NOT NULL,
    start BLOB NOT NULL,
    main  BLOB NOT NULL
) STRICT;

-- Payloads of parts, each packed by itself and apart from all else so that one can be erased. The key is (log << 40 | entry).
CREATE TABLE parts (
    entry   INTEGER PRIMARY KEY,
    payload BLOB NOT NULL
) STRICT;

-- Parts whose payload is absent: left out by a relay, or erased.
CREATE TABLE missing (
    entry INTEGER PRIMARY KEY
) STRICT;

-- Proofs of forks, and the branches that were not stored in place.
CREATE TABLE forks (
    log   INTEGER PRIMARY KEY,
    seq   INTEGER NOT NULL,
    proof BLOB NOT NULL
) STRICT;

CREATE TABLE branches (
    log   INTEGER NOT NULL,
    head  BLOB NOT NULL,
    first INTEGER NOT NULL,
    start BLOB NOT NULL,
    main  BLOB NOT NULL,
    parts BLOB NOT NULL,
    PRIMARY KEY (log, head)
) STRICT;

-- The newest receipt of each log, as signed; excepted is how many stretches it excepts.
CREATE TABLE receipts (
    log        INTEGER PRIMARY KEY,
    stored_len INTEGER NOT NULL,
    judged_len INTEGER NOT NULL,
    excepted   INTEGER NOT NULL,
    receipt    BLOB NOT NULL
) STRICT;
CREATE INDEX receipts_excepted ON receipts (log) WHERE excepted > 0;

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

------------------------------------------------------------------------------------------------------

-- When what of which log arrived at the hub, as entries of kind `arrival` say. log is its id, since an arrival may come
-- before its log; hub the log that says so, and place the entry there.
CREATE TABLE arrivals (
    log   BLOB NOT NULL,
    hub   INTEGER NOT NULL,
    len   INTEGER NOT NULL,
    place INTEGER NOT NULL,
    head  BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (log, hub, len, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX arrivals_len ON arrivals (log, len);

-- Parts that an order of the hub says must go. log is its id, since an order may come before its targets; by the entry
-- of the order.
CREATE TABLE erasures (
    log BLOB NOT NULL,
    seq INTEGER NOT NULL,
    by  INTEGER NOT NULL,
    PRIMARY KEY (log, seq, by)
) STRICT, WITHOUT ROWID;

-- What does not count by rights, cuts and forks, and why.
CREATE TABLE exceptions (
    log    INTEGER NOT NULL,
    first  INTEGER NOT NULL,
    after  INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    PRIMARY KEY (log, first)
) STRICT, WITHOUT ROWID;

-- Entries of records that the gate does not let count, each with its reason: made anew with the record's row. What waits (8) is
-- held back by nobody.
CREATE TABLE held (
    entry  INTEGER PRIMARY KEY,
    record INTEGER NOT NULL,
    reason INTEGER NOT NULL
) STRICT;
CREATE INDEX held_record ON held (record);
CREATE INDEX held_back ON held (record) WHERE reason <> 8;

-- Which entries belong to a record.
CREATE TABLE touches (
    entry  INTEGER PRIMARY KEY,
    record INTEGER NOT NULL
) STRICT;
-- In it the entries of a record are in order: each index ends with the key of its table.
CREATE INDEX touches_record ON touches (record);

-- One row a record: its id names the log that founded it, and with it one space. founded is 0 until that log's entry
-- is here, and space that of whoever named the id first. version moves with what of its touches counts: with
-- their number it says what a row is made from, so that one made from less is not written back; it is shown nowhere.
-- held says why its founding change does not count: such a row is made from what was written all the same, stands in
-- lists, and is in no figure. lost counts the changes that a fork took and that nobody has written again; again is the
-- id of the record that was written in its place; reached how far the record has come by what is stored, 3 being all the way; sole
-- the one log whose receipts say so, with the last of the record's entries there, where everything of the record counts. facts
-- is packed JSON, steps the same of those that count: event, when and what dates it carries; disputed since when it has fields in conflict, former the number that the record had before it was written again,
-- pressing how soon somebody has to see to it, and veil what of it is kept from whom.
CREATE TABLE records (
    id        INTEGER PRIMARY KEY,
    record    BLOB NOT NULL UNIQUE,
    space     BLOB NOT NULL,
    founded   INTEGER NOT NULL DEFAULT 0,
    version   INTEGER NOT NULL DEFAULT 0,
    kind      TEXT,
    number    TEXT,
    title     TEXT,
    status    TEXT,
    facts     BLOB,
    steps     BLOB,
    former    TEXT,
    pressing  INTEGER,
    veil      TEXT,
    conflicts INTEGER NOT NULL DEFAULT 0,
    disputed  INTEGER,
    waiting   INTEGER NOT NULL DEFAULT 0,
    state     BLOB,
    held      INTEGER,
    lost      INTEGER NOT NULL DEFAULT 0,
    again     BLOB,
    arrived   INTEGER NOT NULL DEFAULT 9223372036854775807,
    reached   INTEGER NOT NULL DEFAULT 0,
    sole      INTEGER,
    last      INTEGER
) STRICT;
CREATE INDEX records_arrived ON records (arrived, record) WHERE kind IS NOT NULL;
CREATE INDEX records_space ON records (space, arrived, record) WHERE kind IS NOT NULL;
CREATE INDEX records_kind ON records (kind, arrived, record) WHERE kind IS NOT NULL;
CREATE INDEX records_status ON records (kind, status, arrived, record) WHERE kind IS NOT NULL;
CREATE INDEX records_pressing ON records (kind, status, pressing, arrived, record) WHERE pressing IS NOT NULL;
CREATE INDEX records_sole ON records (sole, reached, last) WHERE kind IS NOT NULL AND reached <> 3;
CREATE INDEX records_several ON records (sole) WHERE kind IS NOT NULL AND sole IS NULL AND reached <> 3;
CREATE INDEX records_reached ON records (arrived, record) WHERE kind IS NOT NULL AND reached <> 3;
CREATE INDEX records_former ON records (former) WHERE former IS NOT NULL;
CREATE INDEX records_held ON records (arrived, record) WHERE held IS NOT NULL;
CREATE INDEX records_lost ON records (lost) WHERE lost > 0;
CREATE INDEX records_number ON records (number) WHERE number IS NOT NULL;
CREATE INDEX records_sealed ON records (arrived) WHERE veil = 'all';
CREATE INDEX records_conflicts ON records (arrived, record) WHERE conflicts > 0;
CREATE INDEX records_disputed ON records (disputed, record) WHERE disputed IS NOT NULL;

-- How many records that count stand where, and, with an empty space, in all spaces together.
CREATE TABLE tallies (
    kind   TEXT NOT NULL,
    status TEXT NOT NULL,
    space  BLOB NOT NULL,
    count  INTEGER NOT NULL,
    PRIMARY KEY (kind, status, space)
) STRICT, WITHOUT ROWID;

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

-- Messages to people at this device, made with a record's row, or with the answer to a request, whose record is 0: the change or
-- the request that one is told of, what it says, the fields or the step by their codes, and the account of whose value or
-- request it is, empty for whoever is at the desk. at_ms is when it happened, by the clock of whoever did it.
CREATE TABLE inbox (
    record  INTEGER NOT NULL,
    change  BLOB NOT NULL,
    what    TEXT NOT NULL,
    about   TEXT NOT NULL,
    account TEXT NOT NULL,
    at_ms   INTEGER NOT NULL,
    seen    INTEGER NOT NULL,
    PRIMARY KEY (record, change, what, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX inbox_at ON inbox (account, seen, at_ms, change, what);
CREATE INDEX inbox_change ON inbox (change, account);

-- What records refer to: a record's id, its number, or a name, as it was given.
CREATE TABLE mentions (
    record INTEGER NOT NULL,
    field  TEXT NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (record, field, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX mentions_target ON mentions (target, field);

-- What lists are filtered by: the values that records have in the fields that the catalogue marks, each in the order of the
-- lists. kind, arrived and id are those of the record's row, record its number in this store.
CREATE TABLE indexed_fields (
    kind    TEXT NOT NULL,
    field   TEXT NOT NULL,
    value   TEXT NOT NULL,
    arrived INTEGER NOT NULL,
    id      BLOB NOT NULL,
    record  INTEGER NOT NULL,
    PRIMARY KEY (kind, field, value, arrived, id)
) STRICT, WITHOUT ROWID;

-- What records are found by that have words in them (search.rs). Each row of texts stands for some parts of a record, by the
-- keys of their entries, eight bytes each; tokens says how many it has, once it is indexed, and named that it stands for the title and the numbers too.
CREATE VIRTUAL TABLE texts USING fts5 (said, content = '', columnsize = 0, detail = none, tokenize = 'ascii');
INSERT INTO texts (texts, rank) VALUES ('pgsz', 3968);
INSERT INTO texts (texts, rank) VALUES ('automerge', 8);
INSERT INTO texts (texts, rank) VALUES ('secure-delete', 1);
CREATE TABLE texts_of (
    id     INTEGER PRIMARY KEY,
    record INTEGER NOT NULL,
    tokens INTEGER,
    named  INTEGER NOT NULL,
    parts  BLOB NOT NULL
) STRICT;
CREATE INDEX texts_of_record ON texts_of (record);
CREATE INDEX texts_of_waiting ON texts_of (id) WHERE tokens IS NULL;

-- Records whose row is older than their entries: the merge queue, which survives a crash.
CREATE TABLE stale (
    record INTEGER PRIMARY KEY
) STRICT;

-- Records that could not be read when they were to be merged.
CREATE TABLE unread (
    record INTEGER PRIMARY KEY
) STRICT;

-- What operators' PCs ask of the hub, in the order in which this store came upon it. kind is act, site, invite or
-- another order's word; subject the event, the site's code, the device's, or what the order is about. answer is
-- the entry of the answer that counts.
CREATE TABLE requests (
    arrival INTEGER PRIMARY KEY,
    entry   INTEGER NOT NULL UNIQUE,
    id      BLOB NOT NULL UNIQUE,
    kind    TEXT NOT NULL,
    subject TEXT NOT NULL,
    record  BLOB,
    space   BLOB,
    account TEXT NOT NULL,
    at_ms   INTEGER NOT NULL,
    answer  INTEGER
) STRICT;
CREATE INDEX requests_at ON requests (at_ms DESC, id);
CREATE INDEX requests_open ON requests (arrival) WHERE answer IS NULL;
CREATE INDEX requests_record ON requests (record) WHERE record IS NOT NULL;

-- All answers, also those that do not count. No refusal means done.
CREATE TABLE answers (
    entry   INTEGER PRIMARY KEY,
    id      BLOB NOT NULL,
    request BLOB NOT NULL,
    refusal INTEGER,
    at_ms   INTEGER NOT NULL
) STRICT;
CREATE INDEX answers_request ON answers (request);
