-- Allowances do not change while they are compared with what was consumed.
SELECT name, owner, meter, quantity, amount, currency, thresholds, revision, changed_at
FROM allowance
WHERE tenant_id = $1 AND removed_at IS NULL
ORDER BY name
FOR NO KEY UPDATE
