-- The row stays, and with it the count of revisions.
UPDATE budget
SET amount = NULL, currency = NULL, revision = revision + 1, changed_at = $2
WHERE tenant_id = $1 AND amount IS NOT NULL
