-- From version 4 to 5: payloads of parts have a byte before them that says how they are packed; what is here stays as it is.

UPDATE parts SET payload = CAST(x'00' || payload AS BLOB);
UPDATE damaged_rows SET bytes = CAST(x'00' || bytes AS BLOB) WHERE part AND length(bytes) > 0;
