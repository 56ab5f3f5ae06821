-- From version 6 to 7: rows say what of a record is kept from whom; a draft that was thrown away can be taken back.

ALTER TABLE drafts ADD COLUMN trashed_ms INTEGER;
