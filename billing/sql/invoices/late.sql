-- Invoices in force whose usage has changed since, the newest first.
SELECT i.invoice_id, i.tenant_id, t.name AS tenant, i.number, i.period_start, i.period_end, i.currency, i.total,
       r.total_now, r.checked_at
FROM invoice_recheck r
JOIN invoice i ON i.invoice_id = r.invoice_id
JOIN tenant t ON t.tenant_id = i.tenant_id
WHERE r.total_now IS NOT NULL
  AND i.status IN ('issued', 'paid') AND i.replaced_by_id IS NULL
ORDER BY i.issued_at DESC, i.invoice_id
LIMIT $1
