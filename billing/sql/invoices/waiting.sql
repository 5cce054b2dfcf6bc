-- What has no number yet, by month and tenant, with what the tenant was invoiced for the month before.
SELECT i.invoice_id, i.tenant_id, t.name AS tenant, t.time_zone, i.status, i.period_start, i.period_end, i.currency,
       i.total, i.cutoff_at, i.rated_at, i.document, before.number AS before_number, before.currency AS before_currency,
       before.total AS before_total, before.document AS before_document
FROM invoice i
JOIN tenant t ON t.tenant_id = i.tenant_id
LEFT JOIN LATERAL (SELECT b.number, b.currency, b.total, b.document
                   FROM invoice b
                   WHERE b.tenant_id = i.tenant_id AND b.period_end = i.period_start AND b.status IN ('issued', 'paid')
                     AND b.kind <> 'credit_note' AND b.replaced_by_id IS NULL
                   LIMIT 1) AS before ON true
WHERE i.status IN ('draft', 'review', 'approved')
  AND ($1::uuid IS NULL OR i.tenant_id = $1)
  AND (i.period_start, i.tenant_id) > ($2::timestamptz, $3::uuid)
ORDER BY i.period_start, i.tenant_id
LIMIT $4
