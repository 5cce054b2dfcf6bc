-- What changed it in [$2, $3). What only moves between a tenant's own accounts changes nothing.
SELECT t.kind, t.at, t.about, e.currency, sum(e.amount) AS amount
FROM ledger_transaction t
JOIN ledger_entry e ON e.transaction_id = t.transaction_id
WHERE t.tenant_id = $1 AND e.account IN ('receivable', 'credit', 'wallet', 'held') AND $2 <= t.at AND t.at < $3
GROUP BY t.transaction_id, t.kind, t.at, t.about, e.currency
HAVING sum(e.amount) <> 0
ORDER BY e.currency, t.at, t.transaction_id
LIMIT $4
