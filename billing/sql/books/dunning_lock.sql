-- The same again, of one invoice, while nobody else books for its tenant.
SELECT i.number, i.currency, i.total, i.due_at, t.name AS tenant, t.display_name, t.time_zone,
       COALESCE((SELECT sum(e.amount) FROM ledger_entry e
                 WHERE e.item_id = i.invoice_id AND e.account = 'receivable'), 0) AS open,
       COALESCE((SELECT max(l.level) FROM dunning_letter l WHERE l.invoice_id = i.invoice_id), 0) AS last_level,
       (SELECT max(l.ordered_at) FROM dunning_letter l WHERE l.invoice_id = i.invoice_id) AS last_at
FROM invoice i
JOIN tenant t ON t.tenant_id = i.tenant_id
WHERE i.invoice_id = $1 AND i.status = 'issued' AND i.replaced_by_id IS NULL
  AND NOT EXISTS (SELECT FROM dunning_hold h WHERE h.invoice_id = i.invoice_id)
