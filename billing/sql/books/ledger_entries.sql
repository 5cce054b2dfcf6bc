-- What was booked under a key.
SELECT e.account, e.detail, e.item_id, e.currency, e.amount, t.about
FROM ledger_entry e
JOIN ledger_transaction t ON t.transaction_id = e.transaction_id
WHERE t.key = $1 AND t.tenant_id = $2
ORDER BY e.position
