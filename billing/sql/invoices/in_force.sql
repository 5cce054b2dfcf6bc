-- Issued invoices that stand, of periods that ended within [$1, $2), from behind ($3) on.
SELECT i.invoice_id, i.tenant_id, i.number, i.period_start, i.period_end, i.issued_at
FROM invoice i
WHERE i.status IN ('issued', 'paid') AND i.kind <> 'credit_note' AND i.replaced_by_id IS NULL
  AND i.period_end >= $1 AND i.period_end < $2
  AND i.invoice_id > $3
ORDER BY i.invoice_id
LIMIT $4
