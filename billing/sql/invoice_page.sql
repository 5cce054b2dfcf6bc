-- The newest first, from behind ($3, $4, $5) on. Numbers are compared as numbers: as text, 1000000 would come
-- before 999999. $7: only what is overdue at that instant.
SELECT i.invoice_id, i.tenant_id, t.name AS tenant, i.number, i.status, i.kind, i.period_start, i.period_end,
       i.currency, i.total, i.issued_at, i.due_at, i.sent_at, i.settled_at,
       corrected.number AS corrects, replacing.number AS replaced_by
FROM invoice i
JOIN tenant t ON t.tenant_id = i.tenant_id
LEFT JOIN invoice corrected ON corrected.invoice_id = i.corrects_id
LEFT JOIN invoice replacing ON replacing.invoice_id = i.replaced_by_id
WHERE i.number IS NOT NULL
  AND ($1::uuid IS NULL OR i.tenant_id = $1)
  AND ($2::text IS NULL OR i.status = $2)
  AND ($3::timestamptz IS NULL
       OR (i.issued_at <= $3 AND (i.issued_at, i.series, i.series_number) < ($3, $4::text, $5::bigint)))
  AND ($7::timestamptz IS NULL OR (i.status = 'issued' AND i.due_at <= $7))
  AND ($8::text IS NULL OR i.kind = $8)
ORDER BY i.issued_at DESC, i.series DESC, i.series_number DESC
LIMIT $6
