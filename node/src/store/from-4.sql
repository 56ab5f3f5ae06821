-- From version 4 to 5: payloads of parts have a byte before them that says how they are packed; what is here stays as it is.
-- Accounts have roles, drafts windows, submissions the digest of what was sent; query codes follow from ids.

UPDATE parts SET payload = CAST(x'00' || payload AS BLOB);
UPDATE damaged_rows SET bytes = CAST(x'00' || bytes AS BLOB) WHERE part AND length(bytes) > 0;
ALTER TABLE accounts ADD COLUMN roles TEXT;
ALTER TABLE drafts ADD COLUMN window TEXT NOT NULL DEFAULT '';
ALTER TABLE submissions ADD COLUMN content BLOB NOT NULL
    DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000';
DROP TABLE IF EXISTS query_codes;
