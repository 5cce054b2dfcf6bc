SELECT amount, currency, revision
FROM budget
WHERE tenant_id = $1
