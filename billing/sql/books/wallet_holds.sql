-- What is reserved, for which instance and since when.
SELECT e.item_id, e.tenant_id, e.currency, -sum(e.amount) AS amount, max(t.at) AS since,
       max(t.transaction_id::text) AS latest
FROM ledger_entry e
JOIN ledger_transaction t ON t.transaction_id = e.transaction_id
WHERE e.account = 'held' AND ($1::uuid IS NULL OR e.tenant_id = $1) AND ($2::uuid IS NULL OR e.item_id = $2)
GROUP BY e.item_id, e.tenant_id, e.currency
HAVING sum(e.amount) <> 0
ORDER BY since, e.item_id
