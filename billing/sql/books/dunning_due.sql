-- Invoices that are overdue and about which not every letter went out, from behind ($3, $4) on: not what is paid, void, replaced or disputed.
SELECT i.invoice_id, i.tenant_id, i.due_at
FROM invoice i
WHERE i.status = 'issued' AND i.due_at <= $1 AND i.kind <> 'credit_note' AND i.replaced_by_id IS NULL
  AND NOT EXISTS (SELECT FROM dunning_hold h WHERE h.invoice_id = i.invoice_id)
  AND (SELECT count(*) FROM dunning_letter l WHERE l.invoice_id = i.invoice_id) < $2
  AND ($3::timestamptz IS NULL OR (i.due_at, i.invoice_id) > ($3, $4::uuid))
ORDER BY i.due_at, i.invoice_id
LIMIT $5
