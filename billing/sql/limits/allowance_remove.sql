-- The row stays, and with it the count of revisions.
UPDATE allowance
SET removed_at = $3, revision = revision + 1, changed_at = $3
WHERE tenant_id = $1 AND name = $2 AND removed_at IS NULL
