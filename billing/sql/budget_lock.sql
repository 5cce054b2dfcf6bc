-- A budget does not change while its thresholds are compared with what was spent.
SELECT b.amount, b.currency, b.revision, t.name AS tenant
FROM budget b
JOIN tenant t ON t.tenant_id = b.tenant_id
WHERE b.tenant_id = $1
FOR NO KEY UPDATE OF b
