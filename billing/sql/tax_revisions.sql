-- The tax tables that were in force, up to a revision, the newest first.
SELECT revision, applied_at, CASE WHEN $3 THEN content END AS content
FROM tax_table
WHERE revision <= $1
ORDER BY revision DESC
LIMIT $2
