-- The newest first. Drafts have no number and are not listed.
SELECT i.invoice_id, i.tenant_id, t.name AS tenant, i.number, i.status, i.period_start, i.period_end, i.currency,
       i.total, i.issued_at, i.settled_at
FROM invoice i
JOIN tenant t ON t.tenant_id = i.tenant_id
WHERE i.number IS NOT NULL
ORDER BY i.issued_at DESC, i.series DESC, i.series_number DESC
LIMIT $1
