-- One that was removed tells its revision.
SELECT name, owner, meter, quantity, amount, currency, thresholds, revision, changed_at, removed_at IS NOT NULL AS is_removed
FROM allowance
WHERE tenant_id = $1 AND name = $2
