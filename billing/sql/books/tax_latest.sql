-- The tax table in force.
SELECT revision, content, applied_at
FROM tax_table
ORDER BY revision DESC
LIMIT 1
