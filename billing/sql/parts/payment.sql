-- A payment as it is shown; which ones is said by what follows.
SELECT p.payment_id, p.tenant_id, t.name AS tenant, p.kind, p.method, p.reference, p.amount, p.currency, p.paid_at,
       p.recorded_at, p.recorded_by, i.number AS invoice, r.reason, r.reversed_at, r.reversed_by,
       COALESCE((SELECT -sum(e.amount) FROM ledger_entry e
                 WHERE e.item_id = p.payment_id AND e.account = 'credit'), 0) AS unused
FROM payment p
JOIN tenant t ON t.tenant_id = p.tenant_id
LEFT JOIN invoice i ON i.invoice_id = p.invoice_id
LEFT JOIN payment_reversal r ON r.payment_id = p.payment_id
