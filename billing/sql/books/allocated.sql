-- What of an item (an invoice, a payment, a credit note) was used for what: the net of allocations and releases.
SELECT c.account, c.item_id AS source_id, r.item_id AS target_id, i.number, c.currency, sum(c.amount) AS amount
FROM ledger_entry r
JOIN ledger_transaction t ON t.transaction_id = r.transaction_id AND t.kind IN ('allocation', 'draw', 'release')
JOIN ledger_entry c ON c.transaction_id = r.transaction_id AND c.account IN ('credit', 'wallet')
LEFT JOIN invoice i ON i.invoice_id = r.item_id
WHERE r.account = 'receivable' AND r.tenant_id = $1 AND (r.item_id = $2 OR c.item_id = $2)
GROUP BY c.account, c.item_id, r.item_id, i.number, c.currency
HAVING sum(c.amount) <> 0
ORDER BY c.account, c.item_id, i.number, r.item_id
