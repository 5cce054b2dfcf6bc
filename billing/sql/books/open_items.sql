-- What a tenant owes and what it has paid without its being used: the oldest first, invoices before fees.
SELECT o.account, o.item_id, o.amount, i.number
FROM ledger_open_item o
LEFT JOIN invoice i ON i.invoice_id = o.item_id
LEFT JOIN payment p ON p.payment_id = o.item_id
WHERE o.tenant_id = $1 AND o.currency = $2 AND o.account IN ('receivable', 'credit')
ORDER BY (i.invoice_id IS NULL AND p.payment_id IS NULL), COALESCE(i.issued_at, p.recorded_at), i.series_number,
         o.item_id
