-- How to take keys, indexes and checks off a table, and how to put them back. What is there is not checked again: it
-- comes from the bench itself.
SELECT format('ALTER TABLE %I DROP CONSTRAINT %I', $1::text, c.conname) AS take_off,
       format('ALTER TABLE %I ADD CONSTRAINT %I %s', $1::text, c.conname, pg_get_constraintdef(c.oid))
           || CASE WHEN c.contype IN ('c', 'f') THEN ' NOT VALID' ELSE '' END AS put_back
FROM pg_constraint c
WHERE c.conrelid = $1::text::regclass AND c.contype IN ('c', 'f', 'p')
UNION ALL
SELECT format('DROP INDEX %I', i.indexrelid::regclass::text), pg_get_indexdef(i.indexrelid)
FROM pg_index i
WHERE i.indrelid = $1::text::regclass AND NOT i.indisprimary
ORDER BY put_back
