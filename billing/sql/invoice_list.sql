-- The newest first. What has no number yet is not listed.
SELECT i.invoice_id, i.tenant_id, t.name AS tenant, i.number, i.status, i.kind, i.period_start, i.period_end,
       i.currency, i.total, i.issued_at, i.due_at, i.sent_at, i.settled_at,
       corrected.number AS corrects, replacing.number AS replaced_by
FROM invoice i
JOIN tenant t ON t.tenant_id = i.tenant_id
LEFT JOIN invoice corrected ON corrected.invoice_id = i.corrects_id
LEFT JOIN invoice replacing ON replacing.invoice_id = i.replaced_by_id
WHERE i.number IS NOT NULL
ORDER BY i.issued_at DESC, i.series DESC, i.series_number DESC
LIMIT $1
