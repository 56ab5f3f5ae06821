-- From version 3 to 4: pages find what they show without looking at the rest. How much an old receipt excepts is looked at.
-- Accounts have roles.

ALTER TABLE receipts ADD COLUMN excepted INTEGER NOT NULL DEFAULT 1;
CREATE INDEX receipts_excepted ON receipts (log) WHERE excepted > 0;
CREATE INDEX peers_seen ON peers (last_seen_ms);
ALTER TABLE accounts ADD COLUMN roles TEXT;
DROP TABLE IF EXISTS query_codes;
