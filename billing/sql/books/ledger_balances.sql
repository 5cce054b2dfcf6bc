-- The accounts of one tenant, or of all of them together.
SELECT b.account, b.detail, b.currency, sum(b.amount) AS amount
FROM ledger_balance b
WHERE $1::uuid IS NULL OR b.tenant_id = $1
GROUP BY b.account, b.detail, b.currency
ORDER BY b.currency, b.account, b.detail
